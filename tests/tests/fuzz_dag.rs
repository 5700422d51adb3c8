//! A short stretch of the fuzzing, in every run of the tests.

use dagbook_tests::fuzz_dag::{Random, corpus, fuzz_one, mutate};

#[test]
fn eighty_mutated_files_are_answered() {
    let inputs = corpus(None);
    assert!(inputs.len() > 100);
    for seed in 0..80 {
        let mut random = Random::new(seed);
        let (one, other) = (random.pick(&inputs).clone(), random.pick(&inputs).clone());
        let data = mutate(&one, &other, &mut random);
        if let Err(panic) = std::panic::catch_unwind(|| fuzz_one(&data)) {
            eprintln!("seed {seed}:\n{}", String::from_utf8_lossy(&data[..data.len().min(4_000)]));
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let inputs = corpus(None);
    let make = |seed| mutate(&inputs[0], &inputs[1], &mut Random::new(seed));
    assert_eq!(make(7), make(7));
    assert_ne!(make(7), make(8));
}
