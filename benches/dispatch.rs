//! Criterion benchmarks of the fire path as a Rust program has it: librmon linked in, the C functions called directly.
//!
//! `cargo bench -p rmon-bench`; `cargo xtask bench` has these rows among its own.

use std::ffi::{c_char, c_int, c_void};
use std::hint::black_box;
use std::ptr::{null, null_mut};

use criterion::{Criterion, criterion_group, criterion_main};
use rmon as _; // for its symbols
use rmon_bench::Silent;
use rmon_emitter::{self as emitter, CodeLike, CodeSpec, Scope};
use tracing::Level;

/// `rmon_state`: active and opaque.
type State = [u8; 2];

/// `rmon_callback`; the event is not looked at.
type Callback = extern "C" fn(user_data: *mut c_void, event: *const c_void) -> c_int;

unsafe extern "C" {
    fn rmon_use_tool_id(tool_id: c_int, name: *const c_char) -> c_int;
    fn rmon_free_tool_id(tool_id: c_int) -> c_int;
    fn rmon_set_events(tool_id: c_int, event_set: u32) -> c_int;
    fn rmon_register_callback(
        tool_id: c_int,
        event: c_int,
        callback: Option<Callback>,
        user_data: *mut c_void,
        destroy: Option<extern "C" fn(*mut c_void)>,
    ) -> c_int;
    fn rmon_enter_scope(
        states: *mut State,
        version: *mut u64,
        event_types: *const u8,
        length: isize,
    ) -> c_int;
    fn rmon_fire_line(state: *mut State, code: *mut c_void, offset: i32, line: i32) -> c_int;
}

/// `RMON_EVENT_LINE`.
const LINE: u8 = 5;

extern "C" fn nothing(_: *mut c_void, _: *const c_void) -> c_int {
    0
}

/// A LINE fire that reaches the first `count` tools.
fn fire(c: &mut Criterion, name: &str, count: c_int) {
    let mut state: State = [0, 0];
    let mut version = 0;
    for tool in 0..count {
        // SAFETY: the name is a C string, the callback takes any user data.
        unsafe {
            assert_eq!(rmon_use_tool_id(tool, c"criterion".as_ptr()), 0);
            assert_eq!(
                rmon_register_callback(tool, LINE.into(), Some(nothing), null_mut(), None),
                0
            );
            assert_eq!(rmon_set_events(tool, 1 << LINE), 0);
        }
    }
    // SAFETY: one state, one version, one event type.
    assert_eq!(unsafe { rmon_enter_scope(&mut state, &mut version, &LINE, 1) }, 0);
    assert_eq!(state[0].count_ones(), count.unsigned_abs());
    c.bench_function(name, |b| {
        // SAFETY: the state is alive; the code may be NULL.
        b.iter(|| unsafe { rmon_fire_line(&mut state, null_mut(), black_box(16), black_box(7)) })
    });
    for tool in 0..count {
        // SAFETY: takes no pointers.
        assert_eq!(unsafe { rmon_free_tool_id(tool) }, 0);
    }
}

/// The limit: a call of the same callback that no compiler can see through.
fn call(c: &mut Criterion) {
    c.bench_function("rust_call", |b| {
        let callback: Callback = nothing;
        b.iter(|| black_box(callback)(black_box(null_mut()), null()))
    });
}

static CODE: CodeLike = CodeLike::from_static(CodeSpec::new("bench", "dispatch.rs", 1));
static SCOPE: Scope<2> = Scope::new([emitter::Event::PyStart, emitter::Event::Line]);

/// What rmon-emitter's probes cost while nobody listens: the limit first.
fn quiet(c: &mut Criterion) {
    c.bench_function("rust_loop", |b| b.iter(|| black_box(())));
    c.bench_function("rust_enter", |b| b.iter(|| black_box(&SCOPE).enter()));
    c.bench_function("rust_fire_disabled", |b| {
        b.iter(|| black_box(&SCOPE).state::<1>().line(&CODE, 16, 7))
    });
}

fn rmon_fires(c: &mut Criterion) {
    for count in [1, 2, 6] {
        fire(c, &format!("rust_fire_{count}"), count);
    }
}

fn tracing_events(c: &mut Criterion) {
    let event =
        || tracing::event!(Level::INFO, offset = black_box(16_i32), line = black_box(7_i32));
    c.bench_function("rust_tracing_disabled", |b| b.iter(event));
    tracing::subscriber::with_default(Silent, || {
        c.bench_function("rust_tracing_event_local", |b| b.iter(event));
    });
}

fn tracing_global_event(c: &mut Criterion) {
    rmon_bench::bench_tracing_subscribe();
    c.bench_function("rust_tracing_event", |b| {
        b.iter(|| {
            tracing::event!(Level::INFO, offset = black_box(16_i32), line = black_box(7_i32))
        });
    });
}

criterion_group!(benches, call, quiet, rmon_fires, tracing_events, tracing_global_event);
criterion_main!(benches);
