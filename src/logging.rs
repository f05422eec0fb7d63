//! Log lines: `key=value` text for people, or one JSON object a line for machines.

use std::{
    fmt::{Display, Write as _},
    io::{self, BufWriter, Write},
    time::Duration,
};

use env_logger::{Target, fmt::Formatter};
use log::{
    Record,
    kv::{self, Key, Value, VisitSource, VisitValue},
};
use serde_json::{Map, json};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use crate::config::{Log, LogFormat};

/// Characters that end a line, or turn its direction, in what shows logs to people (Unicode, UAX 14 and UAX 9).
const CONTROLS: [char; 11] = [
    '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}',
    '\u{2068}', '\u{2069}',
];

/// Characters of a message, and of a value.
const MAX_CHARS: usize = 8192;

/// Lines that may wait to be written.
const MAX_WAITING: usize = 4096;

/// What most lines take, in bytes.
const LINE_BYTES: usize = 384;

/// How long lines gather after some were written. That is what a line comes late at most, and many go out at once: the writer
/// is woken and asks the system once for all of them.
const GATHERING: Duration = Duration::from_millis(2);

/// Bytes that are written at once at most.
const BUFFER_BYTES: usize = 64 * 1024;

/// Starts logging to standard error. Lines are written by a thread of their own, many at once: a line costs a request no
/// system call, and no worker waits for another's. Dropped, what this gives writes what still waits.
pub fn init(settings: &Log) -> WorkerGuard {
    let format = match settings.format {
        LogFormat::Text => text,
        LogFormat::Json => json,
    };
    // Whoever has more to say than can be written waits for room, so that no line is lost.
    let lines = NonBlockingBuilder::default().lossy(false).buffered_lines_limit(MAX_WAITING).thread_name("log");
    let (lines, writing) = lines.finish(Gathering(BufWriter::with_capacity(BUFFER_BYTES, io::stderr())));
    let target = Target::Pipe(Box::new(lines));
    let logger = env_logger::Builder::new().parse_filters(&settings.filter).format(format).target(target).try_init();
    if logger.is_err() {
        log::debug!("logging had begun already");
    }
    writing
}

/// A writer on a thread of its own that rests after it has written all there was.
struct Gathering<W>(W);

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        #[expect(clippy::disallowed_methods, reason = "no worker runs on this thread")]
        std::thread::sleep(GATHERING);
        Ok(())
    }
}

fn text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut line = String::with_capacity(LINE_BYTES);
    // Writing to a String can't fail.
    let _ = write!(line, "{} {:<5} {}: ", out.timestamp_millis(), record.level(), record.target());
    // What clients send can stand in a message: it must not look like lines or colours of our own.
    push(&mut line, record.args(), |_| false);
    let _ = record.key_values().visit(&mut TextFields(&mut line));
    line.push('\n');
    out.write_all(line.as_bytes())
}

struct TextFields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for TextFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if !is_absent(&value) {
            self.0.push(' ');
            self.0.push_str(key.as_str());
            self.0.push('=');
            // Else a value could go on as further fields.
            push(self.0, &value, |text| text.is_empty() || text.contains([' ', '"', '=']));
        }
        Ok(())
    }
}

/// Appends a message or a value, cut where it is so long that it would only fill the log, with all that could be taken for
/// something else escaped, and in quotes where it has to be.
fn push(line: &mut String, shown: &dyn Display, must_be_quoted: impl Fn(&str) -> bool) {
    let start = line.len();
    let _ = write!(line, "{shown}");
    let text = line.get(start..).unwrap_or_default();
    let quoted = must_be_quoted(text);
    if !quoted && text.len() <= MAX_CHARS && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return;
    }
    let text = cut(line.split_off(start));
    if quoted {
        line.push('"');
    }
    for c in text.chars() {
        if c.is_control() || CONTROLS.contains(&c) {
            let _ = write!(line, "{}", c.escape_default());
            continue;
        }
        if quoted && matches!(c, '"' | '\\') {
            line.push('\\');
        }
        line.push(c);
    }
    if quoted {
        line.push('"');
    }
}

/// What is shown of a text.
fn cut(mut text: String) -> String {
    if text.len() > MAX_CHARS
        && let Some((end, _)) = text.char_indices().nth(MAX_CHARS)
    {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut fields = Map::new();
    fields.insert("time".to_owned(), json!(out.timestamp_millis().to_string()));
    fields.insert("level".to_owned(), json!(record.level().as_str().to_lowercase()));
    fields.insert("target".to_owned(), json!(record.target()));
    fields.insert("message".to_owned(), json!(cut(record.args().to_string())));
    let _ = record.key_values().visit(&mut JsonFields(&mut fields));
    let mut line = serde_json::Value::Object(fields).to_string();
    for control in CONTROLS {
        if line.contains(control) {
            line = line.replace(control, &format!("\\u{:04x}", u32::from(control)));
        }
    }
    writeln!(out, "{line}")
}

struct JsonFields<'a>(&'a mut Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for JsonFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if is_absent(&value) {
            return Ok(());
        }
        let value = match (value.to_u64(), value.to_bool()) {
            (Some(number), _) => json!(number),
            (None, Some(truth)) => json!(truth),
            (None, None) => json!(cut(value.to_string())),
        };
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}

/// An `Option` that holds nothing is a field that is not there.
fn is_absent(value: &Value<'_>) -> bool {
    struct Absence(bool);
    impl VisitValue<'_> for Absence {
        fn visit_any(&mut self, _: Value<'_>) -> Result<(), kv::Error> {
            Ok(())
        }
        fn visit_null(&mut self) -> Result<(), kv::Error> {
            self.0 = true;
            Ok(())
        }
    }
    let mut absence = Absence(false);
    let _ = value.visit(&mut absence);
    absence.0
}
