//! A fault in Rust that the address sanitizer must find, which proves that it is on in tests like this.
//! Only `cargo xtask sanitize` asks for it.

#[test]
#[ignore = "a fault, for a sanitizer"]
fn use_after_free() {
    assert!(std::env::var_os("RMON_PLANTED_FAULT").is_some(), "nobody asks for it");
    let value = Box::into_raw(Box::new(1_u8));
    // SAFETY: none. This is the fault.
    unsafe {
        drop(Box::from_raw(value));
        assert_ne!(std::hint::black_box(value).read_volatile(), 77);
    }
}
