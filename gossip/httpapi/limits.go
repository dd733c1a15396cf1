package httpapi

import "time"

// Bounds of the API. Nothing that a client does may cost a node more.
const (
	maxBody        = 64 << 10           // bytes of a request's body
	maxHeader      = 16 << 10           // bytes of a request's header
	maxConns       = 256                // open connections
	maxStreams     = 64                 // subscribers of events and logs together
	maxSeeds       = 64                 // seeds of one join
	maxTagFilters  = 32                 // tag conditions of one query
	maxSlowRequest = 60 * time.Second   // join, leave, force-leave, tags: they wait for other nodes
	headerTimeout  = 5 * time.Second    // until a request's header is whole
	readTimeout    = 15 * time.Second   // until a request is whole
	writeTimeout   = 15 * time.Second   // until an answer is taken by its reader
	idleTimeout    = 2 * time.Minute    // between two requests of a connection
	heartbeatEvery = 15 * time.Second   // between two signs of life in a stream
	streamWrite    = 10 * time.Second   // until a piece of a stream is taken by its reader
	silenceLimit   = 3 * heartbeatEvery // after which a client gives a stream up
	maxStreamLine  = 1 << 20            // bytes of one line of a stream
	shutdownGrace  = 5 * time.Second    // for requests under way when the server ends
)

// Media types.
const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
	typeStream  = "text/event-stream"
)

// Actions of KeyRequest.
const (
	keyInstall = "install"
	keyUse     = "use"
	keyRemove  = "remove"
)
