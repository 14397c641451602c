//! Holds what was measured against the targets.

use super::count::Counts;
use super::rows::{Limit, Row, Target};
use super::samples::{Sample, Samples};

/// How a target came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Reached; whether the wish beyond it is reached too, if there is one.
    Met { stretch: Option<bool> },
    /// There is no target, only a number to know.
    Told,
    /// Not reached.
    Missed,
    /// So little was measured that the compiler must have moved the work out of the loop: no number at all.
    Void,
    /// One of the numbers was not measured in this run.
    Unmeasured,
}

/// One target of one row, judged.
pub struct Verdict {
    /// The row's name.
    pub row: &'static str,
    /// The target.
    pub target: Target,
    /// What was measured, in the target's unit.
    pub measured: Option<f64>,
    /// Of times: the same of the least that were measured. What else runs on the machine adds to a time, and takes
    /// nothing away.
    pub of_least: Option<f64>,
    /// What follows.
    pub outcome: Outcome,
}

impl Verdict {
    /// True if the target is about a number that every run repeats.
    pub fn is_exact(&self) -> bool {
        match self.target.limit {
            Limit::Value { exact, .. } => exact,
            limit => !limit.is_about_times(),
        }
    }

    /// Whether the least times reach a target that the medians miss.
    pub fn least_reaches(&self) -> bool {
        self.outcome == Outcome::Missed
            && matches!(judge(&self.target, self.of_least), Outcome::Met { .. })
    }

    /// True if it is a ceiling and is broken. The instruction ceilings are those of x86-64.
    pub fn breaks_ceiling(&self) -> bool {
        let portable = matches!(self.target.limit, Limit::Value { .. });
        let here = portable || cfg!(target_arch = "x86_64");
        self.is_exact() && here && matches!(self.outcome, Outcome::Missed | Outcome::Void)
    }
}

/// Judges every target of the rows.
pub fn all(rows: &[&'static Row], counts: &Counts, samples: &Samples) -> Vec<Verdict> {
    let of_row = |row: &&'static Row| {
        let row = *row;
        row.targets.iter().map(move |target| {
            let measured = measure(row.name, target.limit, counts, samples, Sample::median);
            let of_least = || measure(row.name, target.limit, counts, samples, Sample::min);
            Verdict {
                row: row.name,
                target: *target,
                measured,
                of_least: target.limit.is_about_times().then(of_least).flatten(),
                outcome: judge(target, measured),
            }
        })
    };
    rows.iter().flat_map(of_row).collect()
}

/// The number that a limit is about, from one of each row's times. Counts are rounded: what remains of a start-up that
/// differs is no instruction.
fn measure(
    row: &str,
    limit: Limit,
    counts: &Counts,
    samples: &Samples,
    pick: fn(&Sample) -> f64,
) -> Option<f64> {
    let time = |row: &str| Some(pick(samples.time(row)?));
    let count = |row: &str| Some(counts.get(row)?.instructions);
    match limit {
        Limit::Instructions => Some(hundredths(count(row)?)),
        Limit::BeyondInstructions { row: other, .. } => {
            Some(hundredths(count(row)? - count(other)?))
        }
        Limit::TimeRatio(other) => Some(time(row)? / time(other)?),
        Limit::Overhead { other, plain } => {
            let beyond = |row| Some(time(row)? - time(plain)?);
            Some(beyond(row)? / beyond(other)?)
        }
        Limit::Faster(other) => Some(time(other)? / time(row)?),
        Limit::Value { key, .. } => Some(pick(samples.get(row, key)?)),
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn judge(target: &Target, measured: Option<f64>) -> Outcome {
    let Some(value) = measured else { return Outcome::Unmeasured };
    if matches!(target.limit, Limit::BeyondInstructions { floor, .. } if value < floor) {
        return Outcome::Void;
    }
    let at_least = matches!(target.limit, Limit::Faster(_) | Limit::Value { at_least: true, .. });
    let reaches = |limit: f64| if at_least { value >= limit } else { value <= limit };
    let Some(must) = target.must else { return Outcome::Told };
    match reaches(must) {
        true => Outcome::Met { stretch: target.stretch.map(reaches) },
        false => Outcome::Missed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::EMPTY;
    use super::*;

    const CHECK: Target = Target {
        limit: Limit::BeyondInstructions { row: EMPTY, floor: 2.0 },
        must: Some(3.0),
        stretch: None,
    };

    #[test]
    fn a_check_that_left_the_loop_is_no_good_result() {
        assert_eq!(judge(&CHECK, Some(0.0)), Outcome::Void);
        assert_eq!(judge(&CHECK, Some(3.0)), Outcome::Met { stretch: None });
        assert_eq!(judge(&CHECK, Some(3.5)), Outcome::Missed);
        assert_eq!(judge(&CHECK, None), Outcome::Unmeasured);
    }

    #[test]
    fn faster_is_judged_the_other_way_round() {
        let target = Target { limit: Limit::Faster(EMPTY), must: Some(1.0), stretch: Some(1.3) };
        assert_eq!(judge(&target, Some(1.2)), Outcome::Met { stretch: Some(false) });
        assert_eq!(judge(&target, Some(1.4)), Outcome::Met { stretch: Some(true) });
        assert_eq!(judge(&target, Some(0.9)), Outcome::Missed);
    }

    #[test]
    fn an_exact_target_that_is_missed_breaks_a_ceiling() {
        let missed = |limit| Verdict {
            row: EMPTY,
            target: Target { limit, must: Some(1.0), stretch: None },
            measured: None,
            of_least: None,
            outcome: Outcome::Missed,
        };
        assert!(
            missed(Limit::Value { key: "bytes", unit: "bytes", at_least: false, exact: true })
                .breaks_ceiling()
        );
        assert!(!missed(Limit::TimeRatio(EMPTY)).breaks_ceiling());
        assert_eq!(missed(Limit::Instructions).breaks_ceiling(), cfg!(target_arch = "x86_64"));
    }
}
