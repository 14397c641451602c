//! Code look-alikes: identity, description, local events, disabled locations.
//!
//! To rmon a code is an address. Nothing is read through it: what is known of a code is found by
//! looking its address up. Two tables hold what tools have set on codes (local events, disabled
//! locations); a map holds the look-alikes that rmon itself made for emitters without a host.

use core::ffi::{CStr, c_char, c_int, c_void};
use std::collections::HashMap;
use std::ffi::CString;

use crate::event::{EVENT_COUNT, Event, EventSet};
use crate::status::{Error, Result};
use crate::sync::job::{Job, Jobs, NoMemory, try_copy};
use crate::sync::table::{Changes, Full, Look, Table};

/// Which tools have an event on for one code: a table per event, (code, 0) → those tools.
pub static LOCAL: Tables<0> = Tables([const { Table::new() }; EVENT_COUNT]);
/// Which tools have not disabled a location: a table per event, (code, offset or line) → those tools.
pub static ENABLED: Tables<0xff> = Tables([const { Table::new() }; EVENT_COUNT]);

/// A table per event. C_RETURN and C_RAISE have none of their own: they go by CALL's.
pub struct Tables<const DEFAULT: u8>([Table<DEFAULT>; EVENT_COUNT]);

impl<const DEFAULT: u8> Tables<DEFAULT> {
    /// The byte of a code, where locations do not matter.
    ///
    /// # Safety
    /// As for [`Tables::get`].
    #[inline(always)]
    pub unsafe fn get_code(&self, event: u8, code: *mut c_void) -> u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.get_unchecked(usize::from(controlling(event))).get_code(code.addr()) }
    }

    /// As [`Tables::get_code`], as far as the first places tell.
    ///
    /// # Safety
    /// As for [`Tables::get`].
    #[inline(always)]
    pub unsafe fn near_code(&self, event: u8, code: *mut c_void) -> Look {
        // SAFETY: the caller's promise.
        unsafe { self.0.get_unchecked(usize::from(controlling(event))).near_code(code.addr()) }
    }

    /// As [`Tables::get`], as far as the first places tell.
    ///
    /// # Safety
    /// As for [`Tables::get`].
    #[inline(always)]
    pub unsafe fn near(&self, event: u8, code: *mut c_void, location: i32) -> Look {
        // SAFETY: the caller's promise.
        unsafe { self.0.get_unchecked(usize::from(controlling(event))).near(code.addr(), location) }
    }

    /// The byte of a code and a location.
    ///
    /// # Safety
    /// `event` is below [`EVENT_COUNT`], and the caller is a reader, inside.
    #[inline(always)]
    pub unsafe fn get(&self, event: u8, code: *mut c_void, location: i32) -> u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.get_unchecked(usize::from(controlling(event))).get(code.addr(), location) }
    }
}

/// [`Event::controlling`], for numbers.
#[inline(always)]
fn controlling(event: u8) -> u8 {
    if event == Event::CReturn.number() || event == Event::CRaise.number() {
        Event::Call.number()
    } else {
        event
    }
}

/// The writer's half of the tables of one purpose. A tool is *marked* at a key if its bit there is
/// not the default's.
pub struct Marks<const DEFAULT: u8> {
    tables: &'static Tables<DEFAULT>,
    changes: [Changes; EVENT_COUNT],
    /// How many keys each tool is marked at.
    counts: [[u32; 8]; EVENT_COUNT],
}

impl<const DEFAULT: u8> Marks<DEFAULT> {
    /// For tables that are empty.
    pub fn new(tables: &'static Tables<DEFAULT>) -> Self {
        Marks { tables, changes: Default::default(), counts: [[0; 8]; EVENT_COUNT] }
    }

    /// The tools that are marked anywhere for `event`.
    pub fn tools(&self, event: Event) -> u8 {
        let counts = &self.counts[event.controlling().index()];
        (0..8).filter(|tool| counts[*tool] != 0).fold(0, |tools, tool| tools | 1 << tool)
    }

    /// The tools that are marked at one key.
    pub fn get(&self, code: *mut c_void, location: i32, event: Event) -> u8 {
        // SAFETY: an event's number is in bounds; this half is used under the writer's lock only.
        DEFAULT ^ unsafe { self.tables.get(event.number(), code, location) }
    }

    /// Marks or unmarks one tool at one key. What is left behind goes to `freed`.
    pub fn put(
        &mut self,
        tool: u8,
        code: *mut c_void,
        location: i32,
        event: Event,
        on: bool,
        freed: &mut Jobs,
    ) -> Result<()> {
        let index = event.controlling().index();
        let old = self.get(code, location, event);
        let new = if on { old | 1 << tool } else { old & !(1 << tool) };
        if new != old {
            let left = self.changes[index]
                .set(&self.tables.0[index], code.addr(), location, DEFAULT ^ new)
                .map_err(|Full| Error::NoMemory)?;
            freed.extend(left.map(|left| left as Box<Job>));
            let count = &mut self.counts[index][usize::from(tool)];
            *count = if on { *count + 1 } else { *count - 1 };
        }
        Ok(())
    }

    /// Drops everything about one code. Whether there was anything.
    pub fn forget(&mut self, code: *mut c_void, freed: &mut Jobs) -> bool {
        let mut any = false;
        for index in 0..EVENT_COUNT {
            let counts = &mut self.counts[index];
            let left = self.changes[index].forget(&self.tables.0[index], code.addr(), |byte| {
                any = true;
                for (tool, count) in counts.iter_mut().enumerate() {
                    *count -= u32::from((byte ^ DEFAULT) >> tool & 1);
                }
            });
            freed.extend(left.map(|left| left as Box<Job>));
        }
        any
    }

    /// Drops everything of one tool.
    pub fn remove_tool(&mut self, tool: u8, freed: &mut Jobs) {
        let bit = 1 << tool;
        for index in 0..EVENT_COUNT {
            if core::mem::take(&mut self.counts[index][usize::from(tool)]) != 0 {
                let default = |byte| (byte & !bit) | (DEFAULT & bit);
                let left = self.changes[index].map(&self.tables.0[index], default);
                freed.extend(left.map(|left| left as Box<Job>));
            }
        }
    }

    /// Drops everything.
    pub fn clear(&mut self, freed: &mut Jobs) {
        for (table, changes) in self.tables.0.iter().zip(&mut self.changes) {
            freed.extend(changes.clear(table).map(|left| left as Box<Job>));
        }
        self.counts = [[0; 8]; EVENT_COUNT];
    }
}

/// The events that have a key of their own in the tables.
fn keyed() -> impl Iterator<Item = Event> {
    Event::ALL.into_iter().filter(|event| event.is_local())
}

/// A tool's local events on one code.
pub fn local_events(local: &Marks<0>, tool: u8, code: *mut c_void) -> EventSet {
    keyed()
        .filter(|event| *event != Event::Branch && local.get(code, 0, *event) & 1 << tool != 0)
        .map(Event::set)
        .collect()
}

/// Sets a tool's local events on one code; all or none.
pub fn set_local_events(
    local: &mut Marks<0>,
    tool: u8,
    code: *mut c_void,
    set: EventSet,
    freed: &mut Jobs,
) -> Result<()> {
    let old = local_events(local, tool, code);
    for event in keyed() {
        if let Err(error) = local.put(tool, code, 0, event, set.wants(event), freed) {
            // What was there has its keys still, so that putting it back takes no memory.
            for event in keyed() {
                let _ = local.put(tool, code, 0, event, old.wants(event), freed);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Whether [`disable`] under `event` may change where `other` is disabled.
pub fn is_disabled_with(other: Event, event: Event) -> bool {
    let is_branch = |event| matches!(event, Event::Branch | Event::BranchLeft | Event::BranchRight);
    other.controlling() == event.controlling() || (is_branch(other) && is_branch(event))
}

/// Disables one location for a tool. `event` is under whose callback it was asked: BRANCH stands for
/// both directions, and is itself off where both are.
pub fn disable(
    disabled: &mut Marks<0xff>,
    tool: u8,
    code: *mut c_void,
    location: i32,
    event: Event,
    freed: &mut Jobs,
) -> Result<()> {
    let directions = [Event::BranchLeft, Event::BranchRight];
    match event {
        Event::Branch => {
            for event in directions.into_iter().chain([Event::Branch]) {
                disabled.put(tool, code, location, event, true, freed)?;
            }
        }
        Event::BranchLeft | Event::BranchRight => {
            disabled.put(tool, code, location, event, true, freed)?;
            if directions.iter().all(|event| disabled.get(code, location, *event) & 1 << tool != 0)
            {
                disabled.put(tool, code, location, Event::Branch, true, freed)?;
            }
        }
        _ => disabled.put(tool, code, location, event, true, freed)?,
    }
    Ok(())
}

/// A line of a code: from `offset` on, code belongs to `line`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct LineEntry {
    /// The first offset that belongs to the line.
    pub offset: i32,
    /// The line's number.
    pub line: i32,
}

/// What a code is called and where it stands.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CodeInfo {
    /// `sizeof(rmon_code_info)`, set by the caller before any call.
    pub struct_size: u32,
    /// The line where the code begins.
    pub first_line: i32,
    /// The function's name, UTF-8. Required.
    pub name: *const c_char,
    /// The name with what encloses it, UTF-8. NULL: the same as `name`.
    pub qualname: *const c_char,
    /// The source file, UTF-8. Required.
    pub filename: *const c_char,
    /// The lines, by ascending offset. May be NULL if `line_count` is 0.
    pub lines: *const LineEntry,
    /// How many `lines` there are.
    pub line_count: usize,
}

impl CodeInfo {
    /// The size of the struct's first version: the least `struct_size` that is accepted.
    pub const FIRST_SIZE: u32 =
        core::mem::offset_of!(CodeInfo, line_count) as u32 + size_of::<usize>() as u32;
}

/// A look-alike that rmon made.
pub struct Code {
    references: usize,
    name: CString,
    qualname: CString,
    filename: CString,
    first_line: i32,
    lines: Box<[LineEntry]>,
}

impl Code {
    /// From its parts; [`Error::InvalidArgument`] if the offsets do not ascend from 0 or above, then
    /// [`Error::NoMemory`].
    pub fn new(
        name: &CStr,
        qualname: &CStr,
        filename: &CStr,
        first_line: i32,
        lines: &[LineEntry],
    ) -> Result<Box<Job<Code>>> {
        let utf8 = [name, qualname, filename].iter().all(|text| text.to_str().is_ok());
        let ascending = lines.windows(2).all(|pair| pair[0].offset < pair[1].offset);
        if !utf8 || !ascending || lines.first().is_some_and(|entry| entry.offset < 0) {
            return Err(Error::InvalidArgument);
        }
        Ok(Job::new(Code {
            references: 1,
            name: copy(name)?,
            qualname: copy(qualname)?,
            filename: copy(filename)?,
            first_line,
            lines: try_copy(lines)?.into(),
        })?)
    }

    /// The description; its pointers live as long as the code.
    fn info(&self, struct_size: u32) -> CodeInfo {
        CodeInfo {
            struct_size,
            first_line: self.first_line,
            name: self.name.as_ptr(),
            qualname: self.qualname.as_ptr(),
            filename: self.filename.as_ptr(),
            lines: if self.lines.is_empty() { core::ptr::null() } else { self.lines.as_ptr() },
            line_count: self.lines.len(),
        }
    }
}

/// A copy of a string.
pub fn copy(text: &CStr) -> Result<CString> {
    let copy = try_copy(text.to_bytes_with_nul())?;
    // SAFETY: as it was: one NUL, at the end. The copy has no spare capacity that would be given back.
    Ok(unsafe { CString::from_vec_with_nul_unchecked(copy) })
}

/// The look-alikes that rmon made and that are alive, by address.
#[derive(Default)]
pub struct Codes(HashMap<usize, Box<Job<Code>>>);

impl Codes {
    /// Takes a code in; its address is its identity until the last reference is released.
    pub fn insert(&mut self, code: Box<Job<Code>>) -> Result<*mut c_void> {
        self.0.try_reserve(1).map_err(|_| NoMemory)?;
        let address = core::ptr::from_ref(&code.work).cast_mut().cast::<c_void>();
        self.0.insert(address.addr(), code);
        Ok(address)
    }

    /// Adds a reference. An address that is none of ours is left alone.
    pub fn retain(&mut self, code: *mut c_void) {
        if let Some(code) = self.0.get_mut(&code.addr()) {
            code.work.references += 1;
        }
    }

    /// Drops a reference; the code itself, if it was the last.
    pub fn release(&mut self, code: *mut c_void) -> Option<Box<Job<Code>>> {
        let found = &mut self.0.get_mut(&code.addr())?.work;
        found.references -= 1;
        if found.references == 0 { self.0.remove(&code.addr()) } else { None }
    }

    /// The description of a living code of ours.
    pub fn describe(&self, code: *mut c_void, struct_size: u32) -> Option<CodeInfo> {
        self.0.get(&code.addr()).map(|code| code.work.info(struct_size))
    }
}

/// The location of an event in its code: the line for LINE, else the offset.
#[inline(always)]
pub fn location(event: u8, offset: i32, line: i32) -> i32 {
    if event == Event::Line.number() { line } else { offset }
}

/// So that a status fits where the C API wants an int.
const _: () = assert!(size_of::<c_int>() == 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_is_off_where_both_directions_are() {
        static TABLES: Tables<0xff> = Tables([const { Table::new() }; EVENT_COUNT]);
        let mut marks = Marks::new(&TABLES);
        let (code, freed) = (core::ptr::without_provenance_mut(64), &mut Jobs::new());
        disable(&mut marks, 2, code, 8, Event::BranchLeft, freed).unwrap();
        assert_eq!(marks.get(code, 8, Event::Branch), 0);
        disable(&mut marks, 2, code, 8, Event::BranchRight, freed).unwrap();
        assert_eq!(marks.get(code, 8, Event::Branch), 4);
        disable(&mut marks, 1, code, 8, Event::Branch, freed).unwrap();
        assert_eq!(marks.get(code, 8, Event::BranchLeft), 6);
        assert_eq!(marks.tools(Event::BranchRight), 6);
        marks.remove_tool(2, freed);
        assert_eq!(marks.tools(Event::Branch), 2);
        assert!(marks.forget(code, freed));
        assert_eq!(marks.tools(Event::Branch), 0);
        assert_eq!(marks.get(code, 8, Event::Branch), 0);
    }

    #[test]
    fn local_events_read_back() {
        static TABLES: Tables<0> = Tables([const { Table::new() }; EVENT_COUNT]);
        let mut marks = Marks::new(&TABLES);
        let (code, freed) = (core::ptr::without_provenance_mut(64), &mut Jobs::new());
        let set = (EventSet::LINE | EventSet::CALL | EventSet::BRANCH).normalised().unwrap();
        set_local_events(&mut marks, 5, code, set, freed).unwrap();
        assert_eq!(local_events(&marks, 5, code), set);
        assert_eq!(local_events(&marks, 4, code), EventSet::empty());
        assert_eq!(marks.tools(Event::CRaise), 1 << 5, "CALL controls C_RAISE");
        assert_eq!(marks.tools(Event::Branch), 1 << 5);
        set_local_events(&mut marks, 5, code, EventSet::empty(), freed).unwrap();
        assert_eq!(marks.tools(Event::Line), 0);
    }

    #[test]
    fn a_code_needs_ascending_offsets() {
        let line = |offset| LineEntry { offset, line: 1 };
        for lines in [&[line(-1)][..], &[line(2), line(1)], &[line(1), line(1)]] {
            assert!(Code::new(c"f", c"f", c"f.x", 1, lines).is_err());
        }
        assert!(Code::new(c"f", c"f", c"f.x", 1, &[line(0), line(2)]).is_ok());
        assert!(Code::new(c"\xff", c"f", c"f.x", 1, &[]).is_err());
    }
}
