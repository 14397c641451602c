//! An emitter in a program without librmon, and what brings it there. (This uses nothing of the crate
//! rmon; but cargo has built its shared library for it.)

#![cfg(target_os = "linux")]

use std::env::{current_exe, var_os};
use std::ffi::CString;
use std::os::raw::{c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;

use rmon_emitter::{CodeLike, CodeSpec, Emitter, Event};

extern "C" {
    fn dlopen(filename: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;

static EMITTER: Emitter = Emitter::new();
static CODE: CodeLike = CodeLike::from_static(CodeSpec::new("f", "f.x", 1));

/// librmon.so, beside the tests.
fn library() -> PathBuf {
    let path = current_exe().unwrap().with_file_name("librmon.so");
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// What the emitter looks like.
fn look() -> String {
    EMITTER.enter();
    EMITTER.line(&CODE, 0, 1).unwrap();
    let active = EMITTER.state(Event::Line).is_active();
    format!("active {active}, code {}", !CODE.as_ptr().is_null())
}

/// The standard output, less the harness's, and the standard error of [`child`].
fn in_a_process(name: &str, what: &str, rmon_library: &str) -> (String, String) {
    let output = Command::new(current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env("RMON_EMITTER_CHILD", what)
        .env(name, rmon_library)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    let found = said.lines().filter_map(|line| line.split("child: ").nth(1));
    (found.collect::<Vec<_>>().join("; "), text(&output.stderr))
}

#[test]
#[ignore = "the other tests run it in processes of its own"]
fn child() {
    let what = var_os("RMON_EMITTER_CHILD").expect("it says what to do");
    // As Python loads rmon: its symbols are not those of the program.
    let load = || {
        let path = CString::new(library().as_os_str().as_bytes()).unwrap();
        // SAFETY: the path ends.
        let librmon = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        assert!(!librmon.is_null());
        librmon
    };
    if what == "load" {
        load();
    }
    println!("child: {}", look());
    if what == "tool" {
        let librmon = load();
        // SAFETY: librmon's functions have these types.
        unsafe {
            let function = |name: &str| {
                let function = dlsym(librmon, CString::new(name).unwrap().as_ptr());
                assert!(!function.is_null());
                function
            };
            let use_tool_id: extern "C" fn(c_int, *const c_char) -> c_int =
                std::mem::transmute(function("rmon_use_tool_id"));
            let set_events: extern "C" fn(c_int, u32) -> c_int =
                std::mem::transmute(function("rmon_set_events"));
            let register: extern "C" fn(
                c_int,
                c_int,
                extern "C" fn(*mut c_void, *const c_void) -> c_int,
                *mut c_void,
                *mut c_void,
            ) -> c_int = std::mem::transmute(function("rmon_register_callback"));
            extern "C" fn on_line(_data: *mut c_void, _event: *const c_void) -> c_int {
                println!("child: line seen");
                0
            }
            let null = std::ptr::null_mut();
            assert_eq!(use_tool_id(2, "test\0".as_ptr().cast()), 0);
            assert_eq!(register(2, Event::Line as c_int, on_line, null, null), 0);
            assert_eq!(set_events(2, 1 << Event::Line as u32), 0);
        }
        println!("child: {}", look());
    }
}

#[test]
fn without_librmon_nothing_is_active_and_nothing_is_made() {
    let (said, errors) = in_a_process("RMON_LIBRARY", "", "");
    assert_eq!(said, "active false, code false");
    assert_eq!(errors, "");
}

#[test]
fn a_tool_that_comes_with_librmon_finds_the_emitter() {
    let (said, _) = in_a_process("RMON_LIBRARY", "tool", "");
    assert_eq!(said, "active false, code false; line seen; active true, code true");
}

#[test]
fn the_first_scope_loads_what_rmon_library_names() {
    let (said, errors) = in_a_process("RMON_LIBRARY", "", library().to_str().unwrap());
    assert_eq!(said, "active false, code true");
    assert_eq!(errors, "");
}

#[test]
fn the_first_scope_finds_a_librmon_that_is_loaded() {
    let (said, _) = in_a_process("LD_PRELOAD", "", library().to_str().unwrap());
    assert_eq!(said, "active false, code true");
    let (said, _) = in_a_process("RMON_LIBRARY", "load", "/nowhere/librmon.so");
    assert_eq!(said, "active false, code true", "without a look at RMON_LIBRARY");
}

#[test]
fn a_library_that_is_not_there_is_said_once() {
    let (said, errors) = in_a_process("RMON_LIBRARY", "", "/nowhere/librmon.so");
    assert_eq!(said, "active false, code false");
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 1, "{errors}");
    let (start, end) =
        ("rmon: RMON_LIBRARY cannot be loaded: /nowhere/librmon.so: ", "; no events will be seen");
    assert!(lines[0].starts_with(start) && lines[0].ends_with(end), "{errors}");
}

#[test]
fn a_library_that_is_another_is_said_once() {
    let (said, errors) = in_a_process("RMON_LIBRARY", "", "libm.so.6");
    assert_eq!(said, "active false, code false");
    let expected =
        "rmon: RMON_LIBRARY is libm.so.6, which is not librmon; no events will be seen\n";
    assert_eq!(errors, expected);
}
