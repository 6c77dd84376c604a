//! kubectl, as whoever a file says.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// kubectl, with whom it is.
pub(crate) struct Kubectl {
    pub(crate) program: PathBuf,
    pub(crate) config: PathBuf,
}

impl Kubectl {
    /// Runs it with this on its input, and says what it printed; an error is what it said.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        let home = self.config.parent().unwrap_or(Path::new("/"));
        command.args(arguments).env("KUBECONFIG", &self.config).env("HOME", home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let [said, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if output.status.success() { Ok(said) } else { Err(error) }
    }

    /// Whether the API server says that it serves.
    pub(crate) fn is_ready(&self) -> Result<(), String> {
        let asked = self.run(&["--request-timeout=2s", "get", "--raw=/readyz"], "");
        // A look takes a tenth of a second of the processor.
        asked.map(drop).inspect_err(|_| std::thread::sleep(std::time::Duration::from_millis(200)))
    }
}
