//! A table for a terminal: columns as wide as they need to be, figures to the right.

use console::measure_text_width;

/// Rows of cells; a cell may be styled.
pub struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Table {
    /// A table whose columns with these indices stand to the right.
    pub fn new(right: &'static [usize]) -> Self {
        Self { rows: Vec::new(), right }
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
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (column, (cell, wide)) in row.iter().zip(&widths).enumerate() {
                let space = " ".repeat(wide.saturating_sub(measure_text_width(cell)));
                let (before, after) =
                    if self.right.contains(&column) { (&*space, "") } else { ("", &*space) };
                line.push_str("  ");
                line.push_str(before);
                line.push_str(cell);
                line.push_str(after);
            }
            console::truncate_str(line.trim_end(), width, "…").into_owned()
        };
        self.rows.iter().map(line).collect()
    }
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
}
