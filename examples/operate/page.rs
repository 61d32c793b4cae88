//! Text for a person, as it grows.

use console::style;

use super::table::Table;

/// Text as it grows.
pub struct Page {
    pub text: String,
    pub width: usize,
}

impl Page {
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub fn head(&mut self, title: &str, note: &str) {
        self.line("");
        let separator = if note.is_empty() { "" } else { "  " };
        self.line(&format!("{}{separator}{}", style(title).bold().underlined(), style(note).dim()));
    }

    pub fn table(&mut self, table: &Table) {
        for line in table.lines(self.width) {
            self.line(&line);
        }
    }

    pub fn rest(&mut self, total: u64, shown: usize) {
        let rest = total.saturating_sub(shown as u64);
        if rest > 0 {
            let more = format!("  and {} more (--limit shows them)", grouped(rest));
            self.line(&style(more).dim().to_string());
        }
    }

    /// Words over several lines; the first begins with `first`, the others are indented alike.
    pub fn wrapped(&mut self, first: &str, words: &str) {
        let indent = console::measure_text_width(first).min(self.width / 2);
        let mut line = first.to_owned();
        let mut used = console::measure_text_width(first);
        let mut fresh = true;
        for word in words.split_whitespace() {
            let wide = console::measure_text_width(word);
            if !fresh && used + 1 + wide > self.width {
                self.line(&line);
                line = " ".repeat(indent);
                used = indent;
                fresh = true;
            }
            if !fresh {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += wide;
            fresh = false;
        }
        self.line(&line);
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}
