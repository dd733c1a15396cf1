//go:build !race

package transport

// raceDetector tells that memory and processor time are several times what they would be.
const raceDetector = false
