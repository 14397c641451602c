//! Draws lines over an axis, as SVG: a few dozen points need no library.

use std::fmt::Write as _;

/// What is drawn.
pub struct Plot {
    /// Over it.
    pub title: &'static str,
    /// Under the horizontal axis.
    pub x: &'static str,
    /// Beside the vertical one.
    pub y: &'static str,
    /// Whether the horizontal axis is logarithmic. 0 then has no place on it.
    pub log_x: bool,
    /// Whether the vertical one is.
    pub log_y: bool,
    /// Each line's label and its points, from left to right.
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 48.0;
const TOP: f64 = 64.0;
/// Besides it there is a line of text for each line's label.
const BOTTOM: f64 = 64.0;
const LABEL: f64 = 20.0;

/// Colours that can be told apart by those who do not see all colours, and marks for print.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

impl Plot {
    /// The numbers, as a table.
    pub fn text(&self) -> String {
        let mut out = format!("\n{} ({})\n", self.title, self.y);
        let mut sizes: Vec<f64> = self.all(|(x, _)| x);
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let mut row = |label: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("{cell:>12}")).collect();
            _ = writeln!(out, "  {label:44}{cells}");
        };
        row(self.x, sizes.iter().map(|size| number(*size)).collect());
        for (label, points) in &self.lines {
            let at = |size: &f64| points.iter().find(|(x, _)| x == size);
            let cell = |size| at(size).map_or_else(|| "-".to_string(), |(_, y)| short(*y));
            row(label, sizes.iter().map(cell).collect());
        }
        out
    }

    fn all(&self, of: fn((f64, f64)) -> f64) -> Vec<f64> {
        self.lines.iter().flat_map(|(_, points)| points).map(|point| of(*point)).collect()
    }
}

/// One direction of the drawing: from a value to a place between 0 and 1, and where the marks are.
struct Axis {
    log: bool,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn new(values: &[f64], log: bool, ticks_at_values: bool) -> Axis {
        let high = values.iter().copied().fold(f64::MIN, f64::max).max(1e-9);
        let low = values.iter().copied().fold(f64::MAX, f64::min);
        if log {
            let low = low.max(1e-3).log10().floor();
            let high = high.log10().ceil().max(low + 1.0);
            let powers = (low as i32)..=(high as i32);
            let ticks = powers.map(|power| 10f64.powi(power)).collect();
            // A few numbers of threads are their own marks; seven powers of ten are round enough.
            let ticks = if ticks_at_values && high <= 2.0 { values.to_vec() } else { ticks };
            let ends = if ticks_at_values {
                (values_low(values), values_high(values))
            } else {
                (low, high)
            };
            let ticks = ticks_within(ticks, ends);
            return Axis { log, low: ends.0, high: ends.1, ticks };
        }
        if ticks_at_values {
            return Axis { log, low, high, ticks: values.to_vec() };
        }
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|step| step * 10f64.powf((high / 5.0).log10().floor()));
        let step = step.into_iter().find(|step| high / step <= 6.0).unwrap_or(high);
        let count = (high / step).ceil();
        let ticks = (0..=count as i32).map(|i| f64::from(i) * step).collect();
        Axis { log, low: 0.0, high: count * step, ticks }
    }

    fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-3).log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }
}

fn values_low(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MAX, f64::min).log10()
}

fn values_high(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MIN, f64::max).log10()
}

fn ticks_within(ticks: Vec<f64>, (low, high): (f64, f64)) -> Vec<f64> {
    ticks.into_iter().filter(|tick| (low - 1e-9..=high + 1e-9).contains(&tick.log10())).collect()
}

/// The drawing. `note` says below the title what it was measured on, and with what command.
pub fn svg(plot: &Plot, note: &str) -> String {
    let mut sizes = plot.all(|(x, _)| x);
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let x_axis = Axis::new(&sizes, plot.log_x, true);
    let y_axis = Axis::new(&plot.all(|(_, y)| y), plot.log_y, false);
    let height = HEIGHT + LABEL * plot.lines.len() as f64;
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let x_at = |value: f64| LEFT + x_axis.place(value) * (right - LEFT);
    let y_at = |value: f64| bottom - y_axis.place(value) * (bottom - TOP);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <desc>Made by: cargo xtask bench --plots</desc>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut put = |line: String| out.push_str(&(line + "\n"));
    put(text(LEFT, 24.0, "start", plot.title, " font-size=\"16\""));
    put(text(LEFT, 44.0, "start", note, " fill=\"#555\" font-size=\"11\""));
    for tick in &y_axis.ticks {
        let y = y_at(*tick);
        put(rule(LEFT, y, right, y, "#ddd"));
        put(text(LEFT - 8.0, y + 4.0, "end", &number(*tick), ""));
    }
    for tick in &x_axis.ticks {
        let x = x_at(*tick);
        put(rule(x, TOP, x, bottom, "#eee"));
        put(text(x, bottom + 20.0, "middle", &number(*tick), ""));
    }
    put(rule(LEFT, bottom, right, bottom, "#333"));
    put(rule(LEFT, TOP, LEFT, bottom, "#333"));
    put(text((LEFT + right) / 2.0, bottom + 42.0, "middle", plot.x, ""));
    let middle = (TOP + bottom) / 2.0;
    let turned = format!(" transform=\"rotate(-90 20 {middle})\"");
    put(text(20.0, middle, "middle", plot.y, &turned));
    for (i, (label, points)) in plot.lines.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let places: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x_at(*x), y_at(*y))).collect();
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        put(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        ));
        let y = HEIGHT + LABEL * i as f64;
        for (x, y) in places.iter().copied().chain([(LEFT, y)]) {
            put(mark(i, x, y, colour));
        }
        put(text(LEFT + 14.0, y + 4.0, "start", label, ""));
    }
    out + "</svg>\n"
}

fn text(x: f64, y: f64, anchor: &str, text: &str, more: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{more}>{text}</text>")
}

fn rule(x1: f64, y1: f64, x2: f64, y2: f64, colour: &str) -> String {
    format!("<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"{colour}\"/>")
}

/// A mark of the line's own shape.
fn mark(line: usize, x: f64, y: f64, colour: &str) -> String {
    match line % 3 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"),
        1 => format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\" fill=\"{colour}\"/>",
            x - 4.0,
            y - 4.0
        ),
        _ => format!("<path d=\"M{x:.1} {:.1}l5 9h-10z\" fill=\"{colour}\"/>", y - 5.0),
    }
}

/// A number on an axis, its thousands apart.
fn number(value: f64) -> String {
    if value < 1000.0 {
        return short(value);
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number without digits that say nothing.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_string(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}").trim_end_matches(".0").to_string(),
        _ => format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_begins_and_ends_where_its_values_do() {
        let axis = Axis::new(&[10.0, 1000.0], true, true);
        assert_eq!((axis.place(10.0), axis.place(100.0), axis.place(1000.0)), (0.0, 0.5, 1.0));
        let axis = Axis::new(&[3.0, 41.0], false, false);
        assert_eq!((axis.place(0.0), axis.high), (0.0, 50.0));
        assert_eq!(axis.ticks, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
    }

    #[test]
    fn texts_are_escaped_and_every_point_has_a_mark() {
        let lines = vec![("a < b", vec![(1.0, 2.0), (2.0, 3.0)])];
        let plot = Plot { title: "t", x: "x", y: "y", log_x: false, log_y: false, lines };
        let drawn = svg(&plot, "note");
        assert!(drawn.contains("a &lt; b") && drawn.ends_with("</svg>\n"));
        assert!(!drawn.contains("<!--")); // in which the command's two dashes would not be well-formed
        assert_eq!(drawn.matches("<circle").count(), 3); // and one in the legend
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([number(1_000_000.0), number(999.0), number(0.0)], ["1,000,000", "999", "0"]);
        assert_eq!([short(3.10), short(14.02), short(250.4)], ["3.1", "14", "250"]);
    }
}
