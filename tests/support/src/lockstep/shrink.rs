//! Makes a program smaller as long as something holds for it.

use super::{Item, Program};

/// The smallest program found for which `holds`, as it does for `program`. Each step takes something out.
pub fn shrink(program: &Program, holds: &mut dyn FnMut(&Program) -> bool) -> Program {
    let mut best = program.clone();
    let mut at = 0;
    let mut changed = false;
    loop {
        let Some(candidates) = smaller(&best, at) else {
            if !std::mem::take(&mut changed) {
                return best;
            }
            at = 0;
            continue;
        };
        match candidates.into_iter().find(|c| holds(c)) {
            // What came after is now at the same place.
            Some(found) => {
                best = found;
                changed = true;
            }
            None => at += 1,
        }
    }
}

/// Programs with item number `at` (in the order of the text) gone or simpler; `None` if there is no such item.
fn smaller(program: &Program, at: usize) -> Option<Vec<Program>> {
    let mut out = Vec::new();
    let variants = {
        let mut left = at;
        program.functions.iter().find_map(|body| find(body, &mut left)).map(simpler)?
    };
    for replacement in variants {
        let (mut copy, mut left) = (program.clone(), at);
        let mut replacement = Some(replacement);
        for body in &mut copy.functions {
            replace(body, &mut left, &mut replacement);
        }
        out.push(copy);
    }
    Some(out)
}

/// What may stand in the place of `item`: each is smaller, by items, words or rounds.
fn simpler(item: &Item) -> Vec<Vec<Item>> {
    let mut out = vec![Vec::new()];
    match item {
        Item::Straight(words) => {
            let half = words.len() / 2;
            if half > 0 {
                out.extend([&words[half..], &words[..half]].map(|w| vec![Item::Straight(w.to_vec())]));
            }
        }
        Item::If(_, body) => out.push(body.clone()),
        Item::Loop { depth, times, flags, body } => {
            out.push(body.clone());
            if *times > 1 {
                let fewer = |times| vec![Item::Loop { depth: *depth, times, flags: *flags, body: body.clone() }];
                out.extend([1, times / 2, times - 1].into_iter().filter(|n| *n > 0).map(fewer));
            }
        }
        Item::CallOne(_, functions) => out.extend(functions.map(|f| vec![Item::Call(f)])),
        Item::Switch(_, bodies) => out.extend(bodies.iter().cloned()),
        Item::Call(_) | Item::Patch(..) | Item::Compare(_) => {}
    }
    out
}

fn bodies(item: &Item) -> &[Vec<Item>] {
    match item {
        Item::If(_, body) | Item::Loop { body, .. } => std::slice::from_ref(body),
        Item::Switch(_, bodies) => bodies,
        _ => &[],
    }
}

fn bodies_mut(item: &mut Item) -> &mut [Vec<Item>] {
    match item {
        Item::If(_, body) | Item::Loop { body, .. } => std::slice::from_mut(body),
        Item::Switch(_, bodies) => bodies,
        _ => &mut [],
    }
}

fn find<'a>(items: &'a [Item], left: &mut usize) -> Option<&'a Item> {
    for item in items {
        if *left == 0 {
            return Some(item);
        }
        *left -= 1;
        if let Some(found) = bodies(item).iter().find_map(|body| find(body, left)) {
            return Some(found);
        }
    }
    None
}

fn replace(items: &mut Vec<Item>, left: &mut usize, by: &mut Option<Vec<Item>>) {
    let mut i = 0;
    while i < items.len() && by.is_some() {
        if *left == 0 {
            if let Some(by) = by.take() {
                items.splice(i..=i, by);
            }
            return;
        }
        *left -= 1;
        bodies_mut(&mut items[i]).iter_mut().for_each(|body| replace(body, left, by));
        i += 1;
    }
}
