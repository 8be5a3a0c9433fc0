//! A CPU's translated blocks, found by virtual and physical address and checked against the
//! version of the page they were made from.

use std::collections::HashMap;
use std::rc::Rc;

use jib_frontend_aarch64::A64System;
use jib_ir::guest::{Guest, Limit};
use jib_ir::passes;
use jib_ir::region::{Key, Region};
use jib_ir::runtime::{Access, Fault};

use super::memory::CodePage;
use crate::space::AddressSpace;

/// Most blocks kept; all are dropped when there are more.
const CAPACITY: usize = 1 << 17;
/// log2 of the slots of the first-level table.
const FRONT_BITS: u32 = 13;

struct Block {
    key: Key,
    pa: u64,
    /// Version of the page when it was translated.
    version: u32,
    region: Region,
}

/// The blocks.
pub(super) struct Blocks {
    front: Vec<Option<Rc<Block>>>,
    all: HashMap<(Key, u64), Rc<Block>>,
}

impl Default for Blocks {
    fn default() -> Self {
        Blocks { front: vec![None; 1 << FRONT_BITS], all: HashMap::new() }
    }
}

impl Blocks {
    /// The block of `key` whose code begins at physical address `pa`.
    #[inline]
    pub(super) fn find(&mut self, key: Key, pa: u64, space: &AddressSpace) -> Result<&Region, Fault> {
        let ram = space.ram();
        let offset = ram.offset(pa, 4);
        let version = offset.map_or(0, |o| ram.pages().version(o));
        let index = (key.pc >> 2 ^ key.pc >> (2 + FRONT_BITS)) as usize & ((1 << FRONT_BITS) - 1);
        let hit = matches!(&self.front[index], Some(b) if b.key == key && b.pa == pa && b.version == version);
        if !hit {
            let block = match self.all.get(&(key, pa)) {
                Some(b) if b.version == version => b.clone(),
                _ => self.translate(key, pa, space)?,
            };
            self.front[index] = Some(block);
        }
        match &self.front[index] {
            Some(block) => Ok(&block.region),
            None => Err(Fault { addr: key.pc, access: Access::Fetch, cause: 0 }),
        }
    }

    #[cold]
    fn translate(&mut self, key: Key, pa: u64, space: &AddressSpace) -> Result<Rc<Block>, Fault> {
        if self.all.len() >= CAPACITY {
            self.all.clear();
            self.front.fill(None);
        }
        let ram = space.ram();
        // Marked before it is read: a write from now on changes the version.
        let version = match ram.offset(pa, 4) {
            Some(offset) => {
                ram.pages().mark_code(offset);
                ram.pages().version(offset)
            }
            None => 0,
        };
        let code = CodePage { space, va: key.pc & !0xfff, pa: pa & !0xfff };
        let mut region = A64System.lift(key, &code, Limit::BLOCK)?;
        passes::run(&mut region);
        let block = Rc::new(Block { key, pa, version, region });
        self.all.insert((key, pa), block.clone());
        Ok(block)
    }
}
