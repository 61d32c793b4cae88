//! A table for a terminal: columns as wide as they need to be, figures to the right, and of paths
//! their ends where there is no room for all.

use std::borrow::Cow;

use console::measure_text_width;

/// Rows of cells; a cell may be styled.
pub struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
    path: Option<usize>,
}

impl Table {
    /// A table whose columns with these indices stand to the right.
    pub fn new(right: &'static [usize]) -> Self {
        Self { rows: Vec::new(), right, path: None }
    }

    /// Says which column holds paths: plain text, which is cut at its beginning.
    pub fn path(self, column: usize) -> Self {
        Self { path: Some(column), ..self }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Its lines, indented by two, none wider than `width` columns of the terminal.
    pub fn lines(&self, width: usize) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let wide = |column: usize| {
            let widths = self.rows.iter().filter_map(|row| row.get(column));
            widths.map(|cell| measure_text_width(cell)).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(wide).collect();
        let total: usize = widths.iter().map(|wide| GAP.len() + wide).sum();
        let room = self.path.and_then(|column| widths.get_mut(column));
        if let Some(room) = room {
            // Text beside it may be cut as well, but half of the line is for the path.
            *room = (*room).min((width + *room).saturating_sub(total).max(width / 2));
        }
        self.rows.iter().map(|row| self.line(row, &widths, width)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize], width: usize) -> String {
        let mut line = String::new();
        for (column, (cell, wide)) in row.iter().zip(widths).enumerate() {
            let cell = if self.path == Some(column) { end_of(cell, *wide) } else { cell.into() };
            let space = " ".repeat(wide.saturating_sub(measure_text_width(&cell)));
            let (before, after) =
                if self.right.contains(&column) { (&*space, "") } else { ("", &*space) };
            line.extend([GAP, before, &*cell, after]);
        }
        console::truncate_str(line.trim_end(), width, "…").into_owned()
    }
}

/// Before each column.
const GAP: &str = "  ";

/// The end of a text that is too wide, behind an ellipsis.
fn end_of(text: &str, width: usize) -> Cow<'_, str> {
    if measure_text_width(text) <= width {
        return text.into();
    }
    let ends = text.char_indices().map(|(at, _)| text.get(at..).unwrap_or_default());
    let fits = |end: &&str| measure_text_width(end) < width;
    format!("…{}", ends.skip(1).find(fits).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_right_and_nothing_is_wider_than_the_screen() {
        let mut table = Table::new(&[1]);
        table.row(["name", "n"]);
        table.row(["größer", "1,234"]);
        assert_eq!(table.lines(80), ["  name        n", "  größer  1,234"]);
        assert_eq!(table.lines(10)[1], "  größer …");
    }

    #[test]
    fn of_a_long_path_the_end_is_kept() {
        let mut table = Table::new(&[]).path(1);
        let long = "a/very/long/path/größer/to/some/file.rs:1234";
        table.row(["rule", long, "what is wrong with it, in words"]);
        table.row(["rule", "b.rs:5", "words"]);
        assert_eq!(
            table.lines(40),
            ["  rule  …o/some/file.rs:1234  what is w…", "  rule  b.rs:5                words"]
        );
        // Where the other columns leave more than half, it is the path's.
        let mut table = Table::new(&[0]).path(1);
        table.row(["7", long]);
        assert_eq!(table.lines(40), ["  7  …g/path/größer/to/some/file.rs:1234"]);
        assert_eq!(table.lines(200), [format!("  7  {long}")]);
    }
}
