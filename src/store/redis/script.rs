//! Requests to Redis: commands and scripts.

use redis::Cmd;

/// Script with the hash by which a server knows it that has run it before.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    /// Returns the script of this code.
    pub(super) fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }
}

/// One request to Redis, which may be sent more than once.
pub(super) enum Request {
    /// Command that needs no script.
    Command(Cmd),
    /// Script with its keys and arguments.
    Script(Call),
}

/// Call of a script.
pub(super) struct Call {
    /// Script to be run.
    pub(super) script: &'static Script,
    /// Keys, all of one slot.
    pub(super) keys: Vec<String>,
    /// Arguments, which may be large.
    pub(super) arguments: Vec<Vec<u8>>,
}

impl Call {
    /// Returns the command for a server that knows the script.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// Returns the command for a server that does not know the script yet.
    pub(super) fn by_code(&self) -> Cmd {
        self.command("EVAL", self.script.code)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = Cmd::new();
        command.arg(name).arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}
