//! Small tables: aligned for the terminal, the same rows as Markdown for files.

/// Rows of cells under a head; the first column is text, the others are numbers and align to the right.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    left: usize,
}

impl Table {
    /// A table whose first `left` columns are text.
    pub fn new(left: usize, head: &[&str]) -> Table {
        Table {
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
            left,
        }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// For the terminal.
    pub fn plain(&self) -> String {
        let widths = self.widths();
        let mut text = self.line(&self.head, &widths, "  ", "");
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        text += &self.line(&rule, &widths, "  ", "");
        for row in &self.rows {
            text += &self.line(row, &widths, "  ", "");
        }
        text
    }

    /// For a file.
    pub fn markdown(&self) -> String {
        let widths = self.widths();
        let mut text = self.line(&self.head, &widths, " | ", "|");
        let mark = |(at, width): (usize, &usize)| {
            if at < self.left {
                "-".repeat((*width).max(3))
            } else {
                "-".repeat((*width).max(3) - 1) + ":"
            }
        };
        let rule: Vec<String> = widths.iter().enumerate().map(mark).collect();
        text += &self.line(&rule, &widths, " | ", "|");
        for row in &self.rows {
            text += &self.line(row, &widths, " | ", "|");
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let rows = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| {
            rows()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        (0..self.head.len())
            .map(|column| width(column).unwrap_or(0))
            .collect()
    }

    fn line(&self, row: &[String], widths: &[usize], between: &str, edge: &str) -> String {
        let cell = |(at, width): (usize, &usize)| {
            let text = row.get(at).map_or("", String::as_str);
            if at < self.left {
                format!("{text:<width$}")
            } else {
                format!("{text:>width$}")
            }
        };
        let cells: Vec<String> = widths.iter().enumerate().map(cell).collect();
        let line = cells.join(between);
        if edge.is_empty() {
            format!("{}\n", line.trim_end())
        } else {
            format!("{edge} {line} {edge}\n")
        }
    }
}

/// A number with as many decimals as its size deserves.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => thousands(value.round()),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_text_left_and_numbers_right() {
        let mut table = Table::new(1, &["way", "req/s"]);
        table.row(vec!["direct".into(), number(12345.0)]);
        table.row(vec!["x".into(), number(7.256)]);
        assert_eq!(
            table.plain(),
            "way      req/s\n------  ------\ndirect  12,345\nx         7.26\n"
        );
        assert!(table.markdown().contains("| direct | 12,345 |"));
    }
}
