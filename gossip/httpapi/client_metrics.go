package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Metrics reads /metrics: each value by its name with labels, as it is printed
// there, such as heartbeat_transport_packets_total{direction="in"}.
func (c *Client) Metrics(ctx context.Context) (map[string]float64, error) {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.send(callCtx, http.MethodGet, "/metrics", nil, nil, nil)
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	defer resp.Body.Close()
	if err := c.checkStatus(resp); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("the answer of the agent at %s is larger than %d bytes", c.address, maxAnswer)
	}
	return parseMetrics(data), nil
}

// parseMetrics reads the text form of metrics (without timestamps) and passes
// over whatever is something else.
func parseMetrics(data []byte) map[string]float64 {
	all := make(map[string]float64)
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := lines.Text()
		cut := strings.LastIndexByte(line, ' ')
		if cut <= 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[cut+1:], 64); err == nil {
			all[line[:cut]] = v
		}
	}
	return all
}
