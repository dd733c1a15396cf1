package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// readBody is ReadBody for the node's API.
func readBody(r *http.Request, out any) error { return ReadBody(r, out, "docs/api.md") }

// ReadBody decodes the body, one JSON object without unknown fields, into out;
// docs is the page that explains the fields. Its errors are problems and show
// nothing of what was sent: it may be a key.
func ReadBody(r *http.Request, out any, docs string) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(out)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = more
			if err == nil {
				return badRequest("the body holds more than one JSON value", "send one object")
			}
		}
	}
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, ProblemTooLarge, "the body is larger than 64 kB", "send less at once")
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return badRequest("field "+wrongType.Field+" has the wrong type", "see "+docs)
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return badRequest("the body holds a field that this request does not have", "see "+docs+" for the fields")
	}
	return badRequest("the body is not the JSON object that this request takes", "see "+docs)
}

// TakeTime lets a request wait for others up to a minute.
func TakeTime(w http.ResponseWriter) error {
	rc := http.NewResponseController(w)
	deadline := time.Now().Add(maxSlowRequest + writeTimeout)
	return errors.Join(rc.SetReadDeadline(deadline), rc.SetWriteDeadline(deadline))
}
