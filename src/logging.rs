//! Log lines: `key=value` text for people, or one JSON object a line for machines.

mod writer;

use std::{
    fmt::{Display, Write as _},
    io::{self, Write as _},
};

use env_logger::{Target, fmt::Formatter};
use log::{
    Record,
    kv::{self, Key, Value, VisitSource, VisitValue},
};
use serde_json::{Map, json};

use crate::config::{Log, LogFormat};

/// Characters that end a line, or turn its direction, in what shows logs to people (Unicode, UAX 14 and UAX 9).
const CONTROLS: [char; 11] = [
    '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}',
    '\u{2068}', '\u{2069}',
];

/// Characters of a message, and of a value.
const MAX_CHARS: usize = 8192;

pub use writer::Writer;

/// Starts logging to standard error, for as long as what it gives is kept. A second call changes nothing.
#[must_use]
pub fn init(settings: &Log) -> Option<Writer> {
    let format = match settings.format {
        LogFormat::Text => text,
        LogFormat::Json => json,
    };
    // Without a thread to write them, whoever has lines writes them.
    let writer = Writer::start(io::stderr()).ok();
    let target = writer.as_ref().map_or(Target::Stderr, |writer| Target::Pipe(Box::new(writer.lines())));
    let logger = env_logger::Builder::new().parse_filters(&settings.filter).format(format).target(target).try_init();
    if logger.is_err() {
        log::debug!("logging had begun already");
    }
    writer
}

fn text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut line = format!("{} {:<5} {}: ", out.timestamp_millis(), record.level(), record.target());
    // What clients send can stand in a message: it must not look like lines or colours of our own.
    write_escaped(&mut line, &shown(record.args()));
    let _ = record.key_values().visit(&mut TextFields(&mut line));
    writeln!(out, "{line}")
}

struct TextFields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for TextFields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if is_absent(&value) {
            return Ok(());
        }
        self.0.push(' ');
        self.0.push_str(key.as_str());
        self.0.push('=');
        let value = shown(&value);
        // Else a value could go on as further fields.
        if value.is_empty() || value.contains([' ', '"', '=']) {
            self.0.push('"');
            write_escaped(self.0, &value.replace('\\', "\\\\").replace('"', "\\\""));
            self.0.push('"');
        } else {
            write_escaped(self.0, &value);
        }
        Ok(())
    }
}

/// A message or a value, cut where it is so long that it would only fill the log.
fn shown(text: &impl Display) -> String {
    let mut text = text.to_string();
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn write_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() || CONTROLS.contains(&c) {
            // Writing to a String can't fail.
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
}

fn json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let mut fields = Map::new();
    fields.insert("time".to_owned(), json!(out.timestamp_millis().to_string()));
    fields.insert("level".to_owned(), json!(record.level().as_str().to_lowercase()));
    fields.insert("target".to_owned(), json!(record.target()));
    fields.insert("message".to_owned(), json!(shown(record.args())));
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
            (None, None) => json!(shown(&value)),
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
