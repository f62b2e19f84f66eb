// A kubelet of the tests: what kube-apiserver asks one for while a pod runs, around processes of this machine. The streams are served by
// Kubernetes' own code. Every container is the folder that it is started with; what is forwarded goes to ports of 127.0.0.1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const idleTimeout = 4 * time.Hour

// kubelet runs what is asked for in a folder.
type kubelet struct {
	folder string
	logs   string
}

func main() {
	address := flag.String("address", "", "host:port")
	certificate := flag.String("cert", "", "file")
	key := flag.String("key", "", "file")
	folder := flag.String("folder", "", "where commands run")
	logs := flag.String("logs", "", "file that is every container's log")
	flag.Parse()
	k := kubelet{folder: *folder, logs: *logs}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", k.exec)
	mux.HandleFunc("/attach/{namespace}/{pod}/{container}", k.attach)
	mux.HandleFunc("/portForward/{namespace}/{pod}", k.portForward)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.containerLogs)
	log.Fatal(http.ListenAndServeTLS(*address, *certificate, *key, mux))
}

func (k kubelet) exec(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, k, r.PathValue("pod"), "", r.PathValue("container"), r.URL.Query()["command"], options,
		idleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k kubelet) attach(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeAttach(w, r, k, r.PathValue("pod"), "", r.PathValue("container"), options,
		idleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (k kubelet) portForward(w http.ResponseWriter, r *http.Request) {
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, k, r.PathValue("pod"), "", options,
		idleTimeout, remotecommand.DefaultStreamCreationTimeout, portforward.SupportedProtocols)
}

func (k kubelet) containerLogs(w http.ResponseWriter, r *http.Request) {
	args := []string{"--lines=+1"}
	if r.FormValue("follow") == "true" {
		args = append(args, "--follow")
	}
	tail := exec.CommandContext(r.Context(), "tail", append(args, k.logs)...)
	tail.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	tail.Stdout = flushing{w, http.NewResponseController(w)}
	_ = tail.Run()
}

type flushing struct {
	io.Writer
	controller *http.ResponseController
}

func (f flushing) Write(bytes []byte) (int, error) {
	n, err := f.Writer.Write(bytes)
	if err == nil {
		err = f.controller.Flush()
	}
	return n, err
}

// ExecInContainer implements remotecommand.Executor.
func (k kubelet) ExecInContainer(_ context.Context, _, _, _ string, command []string, in io.Reader, out, errOut io.WriteCloser,
	tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = k.folder
	cmd.Env = append(os.Environ(), "TERM=xterm", "PS1=$ ")
	if tty {
		return exitOf(atTerminal(cmd, in, out, resize))
	}
	return exitOf(atPipes(cmd, in, out, errOut))
}

// AttachContainer implements remotecommand.Attacher: every container runs a shell, a new one for everybody who attaches.
func (k kubelet) AttachContainer(ctx context.Context, pod, uid, container string, in io.Reader, out, errOut io.WriteCloser,
	tty bool, resize <-chan remotecommand.TerminalSize) error {
	return k.ExecInContainer(ctx, pod, uid, container, []string{"sh"}, in, out, errOut, tty, resize, 0)
}

// PortForward implements portforward.PortForwarder.
func (k kubelet) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(conn, stream)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, conn)
	_ = stream.Close()
	<-sent
	return err
}

// What reads its input ends when whoever it is from has gone; a shell at a terminal is hung up on.
func atTerminal(cmd *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	terminal, err := pty.StartWithAttrs(cmd, nil, &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL})
	if err != nil {
		return err
	}
	defer terminal.Close()
	go func() {
		for size := range resize {
			_ = pty.Setsize(terminal, &pty.Winsize{Cols: size.Width, Rows: size.Height})
		}
	}()
	if in != nil {
		go func() {
			_, _ = io.Copy(terminal, in)
			_ = terminal.Close()
		}()
	}
	_, _ = io.Copy(out, terminal)
	return cmd.Wait()
}

func atPipes(cmd *exec.Cmd, in io.Reader, out, errOut io.Writer) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = out, errOut
	if in == nil {
		return cmd.Run()
	}
	// With cmd.Stdin, the end of the command would wait for that of the input.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(stdin, in)
		_ = stdin.Close()
	}()
	return cmd.Wait()
}

func exitOf(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return utilexec.CodeExitError{Err: err, Code: exit.ExitCode()}
	}
	return err
}
