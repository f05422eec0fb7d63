//! Log lines: `key=value` text for people, or one JSON object a line for machines.

use std::{
    fmt::{Display, Write as _},
    io::{self, BufWriter, Write},
    panic,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use env_logger::{Target, fmt::Formatter};
use log::{
    Record,
    kv::{self, Key, Value, VisitSource, VisitValue},
};
use serde_json::{Map, json};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::config::{Log, LogFormat};

/// Characters that end a line, or turn its direction, in what shows logs to people (Unicode, UAX 14 and UAX 9).
const CONTROLS: [char; 14] = [
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
    '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// Returns whether a terminal or a viewer may act on a character instead of showing it. DEL and the C1 controls, such as the
/// one-byte form of `ESC [`, are among them.
fn is_control(c: char) -> bool {
    c.is_control() || CONTROLS.contains(&c)
}

/// Characters of a message, and of a value.
const MAX_CHARS: usize = 8192;

/// Lines that may wait to be written; those beyond it are lost. Bursts must fit even while the writing thread is not
/// scheduled, and each place takes 32 bytes from the start.
const MAX_WAITING: usize = 16_384;

/// Size of most lines, in bytes.
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
    // A reader of standard error that stalls must not stall the workers, so lines are dropped and counted meanwhile.
    let lines = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_WAITING).thread_name("log");
    let dropped = Arc::new(OnceLock::new());
    let writer = BufWriter::with_capacity(BUFFER_BYTES, io::stderr());
    let (lines, writing) = lines.finish(Gathering { writer, dropped: Arc::clone(&dropped), reported: 0 });
    let dropped = dropped.get_or_init(|| lines.error_counter()).clone();
    let target = Target::Pipe(Box::new(Counting { lines, dropped, counted: 0 }));
    // The client of Redis reports each attempt while a node is away; the store tells of the trouble once. A filter can name it.
    let mut logger = env_logger::Builder::new();
    logger.filter_module("redis", log::LevelFilter::Off).parse_filters(&settings.filter);
    let logger = logger.format(format).target(target).try_init();
    if logger.is_err() {
        log::debug!("logging had begun already");
    }
    writing
}

/// Has every panic counted, and logged as a line like any other instead of as text of its own.
pub fn watch_panics() {
    panic::set_hook(Box::new(|panic| {
        metrics::counter!("mcp_panics_total").increment(1);
        let place = panic.location().map(ToString::to_string);
        // A message that was put together may hold anything, such as a token; one of the source's own is safe to show.
        let what = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(its message is not shown)");
        log::error!(place, thread = thread::current().name(); "something panicked: {what}");
    }));
}

/// Queue of lines that counts those it had to drop. The logger holds a lock around it, so one thread writes at a time.
struct Counting {
    lines: NonBlocking,
    dropped: ErrorCounter,
    /// Number of dropped lines that the metric has.
    counted: usize,
}

impl Write for Counting {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.lines.write(line);
        let dropped = self.dropped.dropped_lines();
        if dropped != self.counted {
            self.counted = dropped;
            metrics::counter!("mcp_log_lines_dropped_total").absolute(u64::try_from(dropped).unwrap_or(u64::MAX));
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}

/// Writer on a thread of its own that rests after it has written all there was.
struct Gathering<W> {
    writer: W,
    dropped: Arc<OnceLock<ErrorCounter>>,
    /// Number of dropped lines that the log has told of.
    reported: usize,
}

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        // Something was written, so the reader is back.
        let count = || self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        let dropped = count();
        if let lost @ 1.. = dropped.saturating_sub(self.reported) {
            log::warn!(lines = lost; "lines of this log were lost: standard error was not read fast enough");
            // That line may have found no room itself, where much waited behind what was just written. The next one tells then.
            if count() == dropped {
                self.reported = dropped;
            }
        }
        #[expect(clippy::disallowed_methods, reason = "no worker runs on this thread")]
        thread::sleep(GATHERING);
        Ok(())
    }
}

fn text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut line = String::with_capacity(LINE_BYTES);
    // Writing to a String can't fail.
    let _ = write!(line, "{} {:<5} {}: ", out.timestamp_millis(), record.level(), record.target());
    // What clients send can stand in a message: it must not look like lines or colours of our own.
    push(&mut line, record.args(), Part::Message);
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
            push(self.0, &value, Part::Value);
        }
        Ok(())
    }
}

/// Part of a line that is not our own text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Message,
    Value,
}

impl Part {
    /// Returns whether a byte can stand in the part as it is.
    fn takes(self, byte: u8) -> bool {
        match byte {
            // A value with these could go on as further fields.
            b' ' | b'"' | b'=' => self == Self::Message,
            byte => byte.is_ascii_graphic(),
        }
    }

    /// Returns whether a text is put in quotes.
    fn is_quoted(self, text: &str) -> bool {
        self == Self::Value && (text.is_empty() || text.contains([' ', '"', '=']))
    }
}

/// Appends a message or a value, cut where it is so long that it would only fill the log, with all that could be taken for
/// something else escaped, and in quotes where it has to be.
fn push(line: &mut String, shown: &dyn Display, part: Part) {
    let start = line.len();
    let _ = write!(line, "{shown}");
    let text = line.get(start..).unwrap_or_default();
    // One pass over a text tells that it can stand as it is, as most can.
    if (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(|byte| part.takes(byte)) {
        return;
    }
    let quoted = part.is_quoted(text);
    let text = cut(line.split_off(start));
    if quoted {
        line.push('"');
    }
    for c in text.chars() {
        if is_control(c) {
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

/// Cuts a text to what a line shows of it.
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
    // JSON itself asks for no more than C0 to be escaped. Beyond that, controls stand in strings alone.
    if line.contains(is_control) {
        line = escape(&line);
    }
    writeln!(out, "{line}")
}

/// Writes controls as JSON escapes; all of them lie in the basic plane.
fn escape(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len() + LINE_BYTES);
    for c in line.chars() {
        if is_control(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
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

/// Returns whether a value is an `Option` that holds nothing, which is a field that is not there.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_stands_in_a_line_as_it_is() {
        let told = "del\u{7f} csi\u{9b}31m nel\u{85} rlo\u{202e} rlm\u{200f} separator\u{2028} caf\u{e9} \u{1f600}";
        let json = escape(&json!({"message": told}).to_string());
        let mut text = String::new();
        push(&mut text, &told, Part::Message);
        for line in [&json, &text] {
            assert!(!line.chars().any(is_control), "{line:?}");
            assert!(line.contains("caf\u{e9} \u{1f600}"), "what can be shown is: {line:?}");
        }
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["message"], told);
    }

    #[test]
    fn lines_that_were_lost_are_told_of_once() {
        let (mut lines, _writing) = NonBlockingBuilder::default().buffered_lines_limit(1).finish(io::sink());
        let dropped = lines.error_counter();
        while dropped.dropped_lines() < 3 {
            lines.write_all(b"x\n").unwrap();
        }
        let counter = Arc::new(OnceLock::from(dropped.clone()));
        let mut gathering = Gathering { writer: Vec::new(), dropped: counter, reported: 0 };
        gathering.flush().unwrap();
        assert_eq!(gathering.reported, dropped.dropped_lines());
    }
}
