package telemetry

import (
	"encoding/json"
	"net/http"
)

// Report is the value of "result" of GET /telemetry.
func (t *Telemetry) Report(r *http.Request) ([]byte, error) {
	return json.Marshal(map[string]any{"id": t.opts.ID})
}
