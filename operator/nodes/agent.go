package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// mostBytes bounds what an agent may answer, mostText what is shown of it.
const mostBytes, mostText = 1 << 20, 1000

// inProgress is the word for an action that isn't done yet.
const inProgress = "inProgress"

// AgentError is an answer of an agent that says no, in the words of docs/agent.md.
type AgentError struct {
	// Pod is whose agent it is.
	Pod string
	// Word says in one word what is wrong, Message in a sentence.
	Word, Message string
}

// Error implements error.
func (e *AgentError) Error() string {
	return fmt.Sprintf("the agent of pod %s says %s: %s", e.Pod, e.Word, e.Message)
}

// Role implements Access.
func (a *access) Role(ctx context.Context, _ *Component, pod Pod) (Role, error) {
	ctx, cancel := context.WithTimeout(ctx, roleLimit)
	defer cancel()
	var answer struct {
		Role    string `json:"role"`
		Term    uint64 `json:"term"`
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	if err := a.agent(ctx, pod, http.MethodGet, "/v1.0/getrole", nil, &answer); err != nil {
		return Role{}, fmt.Errorf("ask pod %s for its role: %w", pod.Name, err)
	}
	if answer.Error != "" || answer.Role == "" {
		return Role{}, &AgentError{Pod: pod.Name, Word: answer.Error, Message: short(answer.Message)}
	}
	return Role{Name: answer.Role, Term: answer.Term}, nil
}

// Act implements Access.
func (a *access) Act(ctx context.Context, _ *Component, pod Pod, action string, parameters map[string]string) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, actLimit)
	defer cancel()
	body, err := json.Marshal(map[string]any{
		"action": action, "parameters": parameters, "nonBlocking": true, "timeoutSeconds": int(runLimit / time.Second),
	})
	if err != nil {
		return Outcome{}, fmt.Errorf("ask pod %s for %s: %w", pod.Name, action, err)
	}
	var answer struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	if err := a.agent(ctx, pod, http.MethodPost, "/v1.0/action", body, &answer); err != nil {
		return Outcome{}, fmt.Errorf("ask pod %s for %s: %w", pod.Name, action, err)
	}
	return Outcome{Done: answer.Error != inProgress, Word: answer.Error, Message: short(answer.Message)}, nil
}

// agent sends a request to the agent of a pod and reads its answer, whatever the status: the agent says
// in words what is wrong.
func (a *access) agent(ctx context.Context, pod Pod, method, path string, body []byte, answer any) error {
	if pod.IP == "" {
		return errors.New("it has no address yet")
	}
	url := "http://" + net.JoinHostPort(pod.IP, strconv.Itoa(a.o.AgentPort)) + path
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.agents.Do(req)
	if err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, mostBytes+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	if len(raw) > mostBytes {
		return fmt.Errorf("the agent's answer is longer than %d bytes", mostBytes)
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusInternalServerError, http.StatusNotImplemented:
	default:
		return fmt.Errorf("the agent answers %s", resp.Status)
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("the agent's answer (%s) is none: %w", resp.Status, err)
	}
	return nil
}

// short bounds a text that goes into a status.
func short(text string) string {
	if len(text) <= mostText {
		return text
	}
	return string(bytes.ToValidUTF8([]byte(text[:mostText]), nil)) + "…"
}
