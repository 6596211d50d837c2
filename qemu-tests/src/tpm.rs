//! A TPM 2.0 emulated by swtpm.
//!
//! Owns the swtpm process and its socket. State lives in a directory of the machine's own, so that it can be kept with a disk.

use std::path::{Path, PathBuf};

use crate::args;
use crate::deadline::Deadline;
use crate::error::{Error, Result, file};
use crate::tool::{Daemon, Tty};

/// A running TPM; ends with its value.
#[derive(Debug)]
pub struct Tpm {
    _swtpm: Daemon,
    socket: PathBuf,
}

impl Tpm {
    /// Starts it on `state`, with its socket in `sockets`.
    pub fn start(state: &Path, sockets: &Path) -> Result<Self> {
        std::fs::create_dir_all(state).map_err(file("create", state))?;
        let socket = sockets.join("tpm");
        let line = args![
            "socket",
            "--tpm2",
            "--tpmstate",
            format!("dir={}", state.display()),
            "--ctrl",
            format!("type=unixio,path={}", socket.display()),
        ];
        let mut swtpm = Daemon::start(&[], "swtpm", &line, Tty::Detached)?;
        let deadline = Deadline::secs(10);
        while !socket.exists() {
            if let Some(error) = swtpm.died() {
                return Err(error);
            }
            if !deadline.pause(20) {
                let tail = swtpm.command_line().to_owned();
                return Err(Error::Timeout {
                    what: "swtpm's socket".into(),
                    seconds: 10,
                    tail,
                });
            }
        }
        Ok(Self {
            _swtpm: swtpm,
            socket,
        })
    }

    /// The socket QEMU connects to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}
