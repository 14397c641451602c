//! Reads the report of examples/event-counter.

use anyhow::{Context as _, Result, bail};

/// What the tool counted.
#[derive(Debug, Default)]
pub struct Report {
    /// From the first event to the report.
    pub seconds: f64,
    /// Kinds of events with their counts; those that did not happen too.
    pub events: Vec<(String, u64)>,
    /// The functions.
    pub functions: Vec<Function>,
    /// The lines.
    pub lines: Vec<Line>,
    /// Events that the tool had no room for.
    pub dropped: u64,
}

/// A function that fired.
#[derive(Debug)]
pub struct Function {
    /// How often it was started.
    pub calls: u64,
    /// How many events it fired, of any kind.
    pub events: u64,
    /// Where it begins.
    pub first_line: usize,
    /// The file, as the emitter names it.
    pub file: String,
    /// Its name.
    pub name: String,
}

/// A line that was reported.
#[derive(Debug)]
pub struct Line {
    /// How often.
    pub count: u64,
    /// Its number, from 1.
    pub number: usize,
    /// The file, as the emitter names it.
    pub file: String,
}

impl Report {
    /// Reads a report; an error if it is not whole.
    pub fn parse(text: &str) -> Result<Report> {
        let mut report = Report::default();
        let mut lines = text.lines();
        if lines.next() != Some("event-counter\t1") {
            bail!("this is no report of event-counter");
        }
        for line in lines.by_ref() {
            if line == "end" {
                return Ok(report);
            }
            report.take(line).with_context(|| format!("bad line in the report: {line}"))?;
        }
        bail!("the report is cut off");
    }

    /// All events together.
    pub fn total(&self) -> u64 {
        self.events.iter().map(|(_, count)| count).sum()
    }

    /// The functions that were called most, most first.
    pub fn most_called(&self, most: usize) -> Vec<&Function> {
        top(&self.functions, most, |function| function.calls)
    }

    /// The lines that were reported most, most first.
    pub fn hottest(&self, most: usize) -> Vec<&Line> {
        top(&self.lines, most, |line| line.count)
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let fields: Vec<&str> = line.split('\t').collect();
        match *fields.as_slice() {
            ["process", _] => {}
            ["seconds", seconds] => self.seconds = seconds.parse()?,
            ["event", count, name] => self.events.push((name.to_string(), count.parse()?)),
            ["function", calls, events, first_line, file, name] => self.functions.push(Function {
                calls: calls.parse()?,
                events: events.parse()?,
                first_line: first_line.parse()?,
                file: file.to_string(),
                name: name.to_string(),
            }),
            ["line", count, number, file] => self.lines.push(Line {
                count: count.parse()?,
                number: number.parse()?,
                file: file.to_string(),
            }),
            ["dropped", count, _] => self.dropped += count.parse::<u64>()?,
            _ => bail!("unknown"),
        }
        Ok(())
    }
}

/// The `most` items with the highest keys, the highest first; equal ones in their order.
fn top<T>(items: &[T], most: usize, key: impl Fn(&T) -> u64) -> Vec<&T> {
    let mut sorted: Vec<&T> = items.iter().collect();
    sorted.sort_by_key(|item| std::cmp::Reverse(key(item)));
    sorted.truncate(most);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_a_cut_one_refused() {
        let text = "event-counter\t1\nprocess\t7\nseconds\t2.5\nevent\t3\tLINE\nevent\t4\tRAISE\n\
                    function\t1\t5\t10\ta b.pyx\tf\nfunction\t2\t2\t20\tb.pyx\tg\n\
                    line\t1\t11\ta b.pyx\nline\t2\t12\ta b.pyx\ndropped\t1\tlines\nend\n";
        let report = Report::parse(text).unwrap();
        assert_eq!((report.total(), report.dropped, report.seconds), (7, 1, 2.5));
        let called: Vec<&str> = report.most_called(9).iter().map(|f| f.name.as_str()).collect();
        assert_eq!(called, ["g", "f"]);
        assert_eq!(report.hottest(1)[0].number, 12);
        assert!(Report::parse(text.trim_end_matches("end\n")).is_err());
        assert!(Report::parse("event-counter\t2\nend\n").is_err());
    }
}
