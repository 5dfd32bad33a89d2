//! what rounding weights to FP16 changes → those that stay in FP32.

/// Most choices that are tried; each takes a run of the network.
const MOST_TRIALS: usize = 32;

/// Finds which of `count` weights can be rounded together so that `agrees`, preferring the first ones.
///
/// # Errors
/// Those of `agrees`.
pub(super) fn roundable<E>(
    count: usize,
    mut agrees: impl FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Vec<usize>, E> {
    let mut rounded = Vec::new();
    // Where FP32 itself does not agree, rounding is not the reason.
    if !agrees(&rounded)? {
        return Ok(rounded);
    }
    let mut groups = Vec::from_iter(std::iter::once(0..count));
    for _ in 0..MOST_TRIALS {
        let Some(group) = groups.pop() else { break };
        let tried = rounded.len();
        rounded.extend(group.clone());
        if agrees(&rounded)? {
            continue;
        }
        rounded.truncate(tried);
        if group.len() > 1 {
            let middle = group.start + group.len().div_ceil(2);
            groups.extend([middle..group.end, group.start..middle]);
        }
    }
    Ok(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(count: usize, agrees: impl Fn(&[usize]) -> bool) -> (Vec<usize>, usize) {
        let mut trials = 0;
        let rounded = roundable(count, |rounded| {
            trials += 1;
            Ok::<_, ()>(agrees(rounded))
        });
        let rounded = rounded.unwrap();
        assert!(rounded.is_empty() || agrees(&rounded));
        let kept = (0..count).filter(|at| !rounded.contains(at));
        (kept.collect(), trials)
    }

    #[test]
    fn the_few_that_matter_are_found() {
        for wrong in [&[119][..], &[3], &[0, 119], &[17, 18, 90]] {
            let (kept, trials) = kept(120, |rounded| !wrong.iter().any(|at| rounded.contains(at)));
            assert_eq!(kept, wrong);
            assert!(trials <= MOST_TRIALS + 1, "{trials}");
        }
    }

    #[test]
    fn errors_that_add_up_are_kept_below_what_is_allowed() {
        let (kept, _) = kept(50, |rounded| rounded.len() <= 40);
        assert_eq!(kept, (40..50).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_rounded_where_that_is_not_the_reason() {
        assert_eq!(kept(5, |_| false), ((0..5).collect(), 1));
    }

    #[test]
    fn trials_end() {
        let (kept, trials) = kept(4000, |rounded| rounded.iter().all(|at| at % 7 != 0));
        assert_eq!(trials, MOST_TRIALS + 1);
        assert!(kept.len() > 4000 / 7);
    }
}
