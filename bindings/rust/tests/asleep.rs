//! An emitter in a program without librmon, and what brings it there. (This uses nothing of the crate
//! rmon; but cargo has built its shared library for it.)

#![cfg(target_os = "linux")]

use std::env::{current_exe, temp_dir, var_os};
use std::ffi::CString;
use std::fs::{copy, create_dir, remove_dir_all, set_permissions, Permissions};
use std::os::raw::{c_char, c_int, c_ulong, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rmon_emitter::{CodeLike, CodeSpec, Emitter, Event};

extern "C" {
    fn dlopen(filename: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    fn getauxval(kind: c_ulong) -> c_ulong;
    fn geteuid() -> u32;
}

const RTLD_NOW: c_int = 2;
const AT_SECURE: c_ulong = 23;

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
    said_by(Command::new(current_exe().unwrap()).env(name, rmon_library), what)
}

fn said_by(command: &mut Command, what: &str) -> (String, String) {
    let output = command
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
        .env("RMON_EMITTER_CHILD", what)
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
    if what == "secure" {
        // SAFETY: it only reads.
        println!("child: secure {}", unsafe { getauxval(AT_SECURE) });
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
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.split_whitespace().find(|word| word.contains("/libc.so.6"));
    let libc = libc.expect("there is a libc");
    let (said, errors) = in_a_process("RMON_LIBRARY", "", libc);
    assert_eq!(said, "active false, code false");
    let expected =
        format!("rmon: RMON_LIBRARY is {libc}, which is not librmon; no events will be seen\n");
    assert_eq!(errors, expected);
}

#[test]
fn a_library_without_a_slash_in_front_is_not_looked_for() {
    for name in ["libm.so.6", "./librmon.so"] {
        let (said, errors) = in_a_process("RMON_LIBRARY", "", name);
        assert_eq!(said, "active false, code false");
        let expected = format!(
            "rmon: RMON_LIBRARY is {name}, which does not begin with a slash; no events will be seen\n"
        );
        assert_eq!(errors, expected);
    }
}

/// In a program with privileges that its user has not: a set-user-id one.
#[test]
fn the_environment_of_another_user_is_ignored() {
    // SAFETY: it only reads.
    if unsafe { geteuid() } != 0 {
        println!("SKIPPED: only root can make a set-user-id program for another user");
        return;
    }
    const NOBODY: u32 = 65534;
    let folder = temp_dir().join(format!("rmon-emitter-{}", std::process::id()));
    create_dir(&folder).unwrap();
    set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let (exe, librmon) = (folder.join("asleep"), folder.join("librmon.so"));
    for (from, to, mode) in [(current_exe().unwrap(), &exe, 0o4755), (library(), &librmon, 0o755)] {
        copy(from, to).unwrap();
        set_permissions(to, Permissions::from_mode(mode)).unwrap();
    }
    let run = |uid| {
        let mut command = Command::new(&exe);
        command.uid(uid).gid(uid).current_dir("/").env("RMON_LIBRARY", &librmon);
        said_by(&mut command, "secure")
    };
    let (own, (said, errors)) = (run(0), run(NOBODY));
    remove_dir_all(&folder).unwrap();
    assert_eq!(own.0, "secure 0; active false, code true", "{}", own.1);
    if said.starts_with("secure 0") {
        println!("SKIPPED: {} is not on a file system with set-user-id programs", folder.display());
        return;
    }
    assert_eq!(said, "secure 1; active false, code false");
    assert_eq!(errors, "");
}
