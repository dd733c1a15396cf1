//go:build race

package transport

// raceDetector tells that memory is several times what it would be.
const raceDetector = true
