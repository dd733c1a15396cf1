package httpapi

// Types of problems: stable names that programs may compare.
const (
	ProblemBadRequest     = "urn:heartbeat:problem:bad-request"
	ProblemUnauthorised   = "urn:heartbeat:problem:unauthorised"
	ProblemForbidden      = "urn:heartbeat:problem:forbidden"
	ProblemNoSuchRoute    = "urn:heartbeat:problem:no-such-route"
	ProblemNoSuchMember   = "urn:heartbeat:problem:no-such-member"
	ProblemNoSuchKey      = "urn:heartbeat:problem:no-such-key"
	ProblemMethod         = "urn:heartbeat:problem:method-not-allowed"
	ProblemContentType    = "urn:heartbeat:problem:content-type"
	ProblemTooLarge       = "urn:heartbeat:problem:too-large"
	ProblemNotFailed      = "urn:heartbeat:problem:not-failed"
	ProblemPrimaryKey     = "urn:heartbeat:problem:primary-key"
	ProblemNoKeyring      = "urn:heartbeat:problem:no-keyring"
	ProblemLeft           = "urn:heartbeat:problem:left"
	ProblemJoinFailed     = "urn:heartbeat:problem:join-failed"
	ProblemTooManyStreams = "urn:heartbeat:problem:too-many-streams"
	ProblemUnavailable    = "urn:heartbeat:problem:unavailable"
	ProblemTimeout        = "urn:heartbeat:problem:timeout"
	ProblemInternal       = "urn:heartbeat:problem:internal"
)
