package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runCommand runs a command on a configuration, with a text as standard input.
func runCommand(t *testing.T, config, stdin string, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	code = run(t.Context(), append(args, "--config", config), nil, strings.NewReader(stdin), &b, &b)
	return code, b.String()
}

// ask sends a request to a program with a token, and returns the status.
func (p *program) ask(method, path, token, body string, change ...func(*http.Request)) (status int, answer string, cookies []*http.Cookie) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.addr+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(req)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, string(raw), resp.Cookies()
}

// TestAccountsOfTheCommandLine: accounts and tokens are changed by the command line
// before and while the program runs, and a change holds for the next request.
func TestAccountsOfTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "central.yaml")
	text := "http: {listen: '127.0.0.1:0'}\ndatabase: {path: " + filepath.Join(dir, "central.db") + "}\nkafka: {brokers: ['127.0.0.1:1']}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const password = "correct horse"
	must := func(stdin string, args ...string) string {
		t.Helper()
		code, out := runCommand(t, config, stdin, args...)
		if code != 0 {
			t.Fatalf("%q: %d %s", args, code, out)
		}
		return out
	}
	refused := func(want, stdin string, args ...string) {
		t.Helper()
		if code, out := runCommand(t, config, stdin, args...); code != 1 || !strings.Contains(out, want) {
			t.Errorf("%q: got %d %s, want it refused: %s", args, code, out, want)
		}
	}
	must(password+"\n", "user", "add", "root", "--role", "admin")
	refused("already", password, "user", "add", "root")
	refused("10 to 256", "short\n", "user", "add", "eve")
	refused("is empty", "\n", "user", "add", "eve")
	refused("username", password, "user", "add", "ana", "--role", "driver")

	p := startProgram(t, config)
	defer p.kill()
	if status, _, _ := p.ask("GET", "/network", "", ""); status != http.StatusUnauthorized {
		t.Errorf("without a sign-in: %d", status)
	}
	status, answer, cookies := p.ask("POST", "/session", "", `{"name":"root","password":"`+password+`"}`)
	if status != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("sign in: %d %s", status, answer)
	}
	signedIn := func() int {
		status, _, _ := p.ask("GET", "/accounts", "", "", func(r *http.Request) { r.AddCookie(cookies[0]) })
		return status
	}
	if got := signedIn(); got != http.StatusOK {
		t.Errorf("signed in: %d", got)
	}
	must(password, "user", "add", "ana", "--role", "driver", "--driver", "Ana B.") // while it runs
	token := strings.TrimSpace(must("", "token", "add", "script", "--role", "operator"))
	if status, answer, _ := p.ask("GET", "/me", token, ""); status != http.StatusOK || !strings.Contains(answer, `"token:script"`) {
		t.Errorf("the token: %d %s", status, answer)
	}
	if status, answer, _ := p.ask("POST", "/availability", token, `{"all":true,"available":false}`); status != http.StatusAccepted {
		t.Errorf("an order: %d %s", status, answer)
	}
	refused("no other admin", "", "user", "disable", "root")
	must("another word\n", "user", "password", "root")
	if got := signedIn(); got != http.StatusUnauthorized {
		t.Errorf("after a new password: %d", got)
	}
	list := must("", "token", "list")
	if !strings.Contains(list, "script  operator") || strings.Contains(list, token) {
		t.Errorf("tokens: %s", list)
	}
	id, _, _ := strings.Cut(strings.Split(list, "\n")[1], " ")
	if _, answer, _ := p.ask("GET", "/audit", token, ""); !strings.Contains(answer, `"operation":"set-availability","target":"* available=false","from":"127.0.0.1","result":"done"`) ||
		!strings.Contains(answer, `"by":"command-line:`) || strings.Contains(answer, "another word") {
		t.Errorf("audit log: %s", answer)
	}
	must("", "token", "revoke", id)
	if status, _, _ := p.ask("GET", "/network", token, ""); status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", status)
	}
	must("", "user", "disable", "ana")
	if list := must("", "user", "list"); !strings.Contains(list, "ana   driver  Ana B.  disabled") || !strings.Contains(list, "root  admin   -       active") {
		t.Errorf("accounts: %s", list)
	}
	if status, _, _ := p.ask("POST", "/session", "", `{"name":"ana","password":"`+password+`"}`); status != http.StatusUnauthorized {
		t.Errorf("a disabled account: %d", status)
	}
}

// TestTheFirstStartPrintsACode with which the first account is made.
func TestTheFirstStartPrintsACode(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "central.yaml")
	text := "http: {listen: '127.0.0.1:0'}\ndatabase: {path: " + filepath.Join(dir, "central.db") + "}\nkafka: {brokers: ['127.0.0.1:1']}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, config)
	if _, answer, _ := p.ask("GET", "/me", "", ""); !strings.Contains(answer, `"setup":true`) {
		t.Errorf("me: %s", answer)
	}
	status, _, _ := p.ask("POST", "/setup", "", `{"code":"AAAA-AAAA-AAAA-AAAA","name":"root","password":"correct horse"}`)
	if status != http.StatusUnauthorized {
		t.Errorf("a wrong code: %d", status)
	}
	p.kill()
	_, rest, found := strings.Cut(p.log.String(), `"setup_code":"`)
	if code, _, _ := strings.Cut(rest, `"`); !found || len(code) != 19 {
		t.Errorf("the log has no code: %s", p.log.String())
	}
}
