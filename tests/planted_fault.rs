//! A fault in Rust that a sanitizer must find. `cargo xtask sanitize` asks for one by its name in
//! `RMON_PLANTED_FAULT`, which proves that the other tests ran with the sanitizer on. Nobody else runs
//! them.

fn planted(name: &str) -> bool {
    std::env::var("RMON_PLANTED_FAULT").is_ok_and(|planted| planted == name)
}

#[test]
#[ignore = "a fault for a sanitizer"]
fn use_after_free() {
    assert!(planted("use_after_free"), "not asked for");
    let value = Box::into_raw(Box::new(1u8));
    // SAFETY: none: this is the fault.
    unsafe {
        drop(Box::from_raw(value));
        assert_ne!(std::hint::black_box(value).read_volatile(), 77);
    }
}

#[test]
#[ignore = "a fault for a sanitizer"]
fn data_race() {
    assert!(planted("data_race"), "not asked for");
    static mut SHARED: u8 = 0;
    let write = || {
        // SAFETY: none: this is the fault.
        unsafe { (&raw mut SHARED).write_volatile(1) }
    };
    std::thread::scope(|scope| {
        scope.spawn(write);
        scope.spawn(write);
    });
}
