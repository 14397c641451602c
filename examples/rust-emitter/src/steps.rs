//! The language: steps for a row of data, one on each line.

use pyo3::basic::CompareOp;
use pyo3::exceptions::PySyntaxError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A line that does something.
pub struct Step {
    pub line: i32,
    pub action: Action,
}

pub enum Action {
    /// Goes on with the row only if this holds.
    Keep(Operand, CompareOp, Operand),
    Set(String, Value),
    Drop(String),
    /// Has a Python function change the row.
    Call(String),
}

pub enum Value {
    Single(Operand),
    Result(Operand, Operator, Operand),
}

#[derive(Clone, Copy)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

pub enum Operand {
    Field(String),
    Constant(Py<PyAny>),
}

/// The steps of a text.
pub fn parse(py: Python<'_>, file: &str, text: &str) -> PyResult<Vec<Step>> {
    let mut steps = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let words: Vec<_> = text.split_whitespace().collect();
        if words.first().is_some_and(|word| !word.starts_with('#')) {
            let action = Action::parse(py, &words)?
                .ok_or_else(|| PySyntaxError::new_err(format!("{file}:{line}: not understood")))?;
            steps.push(Step { line, action });
        }
    }
    Ok(steps)
}

impl Action {
    /// `None` if it is not understood.
    fn parse(py: Python<'_>, words: &[&str]) -> PyResult<Option<Action>> {
        let operand = |word| Operand::parse(py, word);
        Ok(Some(match *words {
            ["keep", left, compare, right] => {
                let compare = match compare {
                    "==" => CompareOp::Eq,
                    "!=" => CompareOp::Ne,
                    "<" => CompareOp::Lt,
                    "<=" => CompareOp::Le,
                    ">" => CompareOp::Gt,
                    ">=" => CompareOp::Ge,
                    _ => return Ok(None),
                };
                Action::Keep(operand(left)?, compare, operand(right)?)
            }
            ["set", field, "=", value] => Action::Set(field.into(), Value::Single(operand(value)?)),
            ["set", field, "=", left, operator, right] => {
                let operator = match operator {
                    "+" => Operator::Add,
                    "-" => Operator::Subtract,
                    "*" => Operator::Multiply,
                    "/" => Operator::Divide,
                    _ => return Ok(None),
                };
                Action::Set(field.into(), Value::Result(operand(left)?, operator, operand(right)?))
            }
            ["drop", field] => Action::Drop(field.into()),
            ["call", function] => Action::Call(function.into()),
            _ => return Ok(None),
        }))
    }
}

impl Value {
    pub fn of<'py>(&self, row: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Value::Single(operand) => operand.of(row),
            Value::Result(left, operator, right) => {
                let (left, right) = (left.of(row)?, right.of(row)?);
                match operator {
                    Operator::Add => left.add(right),
                    Operator::Subtract => left.sub(right),
                    Operator::Multiply => left.mul(right),
                    Operator::Divide => left.div(right),
                }
            }
        }
    }
}

impl Operand {
    /// A number, a text in single quotes, or else the name of a field.
    fn parse(py: Python<'_>, word: &str) -> PyResult<Operand> {
        let text = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        let constant = if let Ok(number) = word.parse::<i64>() {
            number.into_pyobject(py)?.into_any()
        } else if let Ok(number) = word.parse::<f64>() {
            number.into_pyobject(py)?.into_any()
        } else if let Some(text) = text {
            text.into_pyobject(py)?.into_any()
        } else {
            return Ok(Operand::Field(word.into()));
        };
        Ok(Operand::Constant(constant.unbind()))
    }

    pub fn of<'py>(&self, row: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Operand::Field(name) => row.as_any().get_item(name),
            Operand::Constant(value) => Ok(value.bind(row.py()).clone()),
        }
    }
}
