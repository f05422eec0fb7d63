//! Templates of pages: texts with `{{names}}` that values take the place of.

/// Value for a place of a template.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Text of any origin, which is escaped.
    Text(&'a str),
    /// Part of the page itself, which stands as it is.
    Markup(&'a str),
}

/// Returns a template with its values. A name without a value leaves nothing. Values are not read for further names.
pub fn fill(template: &str, values: &[(&str, Value<'_>)]) -> String {
    let mut parts = template.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((name, rest)) = part.split_once("}}") else {
            filled.push_str("{{");
            filled.push_str(part);
            continue;
        };
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, Value::Text(text))) => escape(text, &mut filled),
            Some((_, Value::Markup(markup))) => filled.push_str(markup),
            None => {}
        }
        filled.push_str(rest);
    }
    filled
}

/// Escapes a text for an element or a quoted attribute (HTML Living Standard § 13.1.2).
fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_never_read_for_names() {
        let values =
            [("a", Value::Text("<script>\"'&{{b}}")), ("b", Value::Markup("<b>{{a}}</b>")), ("c", Value::Text(""))];
        let cases = [
            ("", ""),
            ("no place", "no place"),
            ("{{a}}", "&lt;script&gt;&quot;&#39;&amp;{{b}}"),
            ("x{{b}}y", "x<b>{{a}}</b>y"),
            ("{{unknown}}{{c}}.", "."),
            ("{{never closed", "{{never closed"),
            ("a}}b", "a}}b"),
        ];
        for (template, expected) in cases {
            assert_eq!(fill(template, &values), expected, "{template}");
        }
    }
}
