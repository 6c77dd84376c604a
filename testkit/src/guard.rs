//! What ends a server when the test's process is gone.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// It reads its input. A line says that all is done; the input's end, that the process which held the other end of
/// the pipe was killed, or left without dropping what it had: then the server, its children and its files go.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r word && exit
server=$1
shift
kill -STOP "$server"
ps -A -o pid=,ppid= | while read -r pid parent; do
  [ "$parent" = "$server" ] && kill -KILL "$pid"
done
kill -KILL "$server"
sleep 0.2
find "$@" -depth -type d -exec rmdir {} + 2>/dev/null
rm -rf "$@"
"#;

/// A small process that watches over a server. It has a process group of its own, or Ctrl-C would end it too.
pub(crate) struct Guard {
    shell: Child,
}

impl Guard {
    /// Watches over a server; `litter` goes with it.
    pub(crate) fn over(server: u32, litter: &[PathBuf]) -> Self {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "guard", &server.to_string()])
            .args(litter)
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell that watches over a server");
        Self { shell }
    }

    /// The server has ended.
    pub(crate) fn release(mut self) {
        self.shell.stdin.take().unwrap().write_all(b"done\n").unwrap();
        self.shell.wait().unwrap();
    }
}
