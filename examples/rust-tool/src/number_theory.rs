//! The emitter: functions that tell where they are. They could be a library of somebody else's.

use rmon_emitter::{CodeLike, CodeSpec, Emitter, Failed};

static EMITTER: Emitter = Emitter::new();

/// The code of the function that begins on the line above.
macro_rules! code {
    ($name:literal) => {
        CodeLike::from_static(CodeSpec::new($name, file!(), line!() as i32 - 1))
    };
}

/// The next line is about to run.
macro_rules! next_line {
    ($frame:ident) => {
        $frame.line(line!() as i32, line!() as i32 + 1)?
    };
}

pub fn gcd(mut a: u64, mut b: u64) -> Result<u64, Failed> {
    static CODE: CodeLike = code!("gcd");
    let mut frame = EMITTER.frame(&CODE, 0)?;
    while b != 0 {
        next_line!(frame);
        (a, b) = (b, a % b);
    }
    next_line!(frame);
    Ok(a)
}

pub fn totient(n: u64) -> Result<u64, Failed> {
    static CODE: CodeLike = code!("totient");
    let mut frame = EMITTER.frame(&CODE, 0)?;
    let mut count = 0;
    for k in 1..=n {
        next_line!(frame);
        if gcd(n, k)? == 1 {
            next_line!(frame);
            count += 1;
        }
    }
    next_line!(frame);
    Ok(count)
}
