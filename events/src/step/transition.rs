//! The attempt machine as a table (`executors.md`, 9.3): one row a state, one column an
//! observation. The diagram in the documentation is made from it, and a test walks every cell.

use serde::{Deserialize, Serialize};

/// What an attempt is, between the decision to make it and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Recorded; no executor has confirmed anything.
    Planned,
    /// Offered to those that pull.
    Offered,
    /// An executor has it.
    Submitted,
    /// It waits there.
    Pending,
    /// Its place is being made ready.
    Preparing,
    /// It runs.
    Running,
    /// It was told to stop.
    Stopping,
    /// Contact is lost.
    Suspect,
    /// It ended.
    Exited,
}

/// What may be seen of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observation {
    /// It was offered.
    Offered,
    /// An executor took it.
    Submitted,
    /// It waits there.
    Pending,
    /// Its place is being made ready.
    Preparing,
    /// It runs.
    Started,
    /// It is stopping.
    Stopping,
    /// Contact is lost.
    Suspected,
    /// Contact is back.
    Recovered,
    /// What it used so far was measured.
    Measured,
    /// It ended.
    Exited,
}

/// What an observation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// The state changes.
    To(AttemptState),
    /// Known already, or overtaken by something later: nothing to record.
    Known,
    /// It came after the end: kept as stale, never applied.
    Stale,
}

impl AttemptState {
    /// All states, in the order of the table's rows.
    pub const ALL: [Self; 9] = [
        Self::Planned,
        Self::Offered,
        Self::Submitted,
        Self::Pending,
        Self::Preparing,
        Self::Running,
        Self::Stopping,
        Self::Suspect,
        Self::Exited,
    ];

    /// What an observation makes of this state.
    pub fn on(self, observation: Observation) -> Transition {
        TABLE[self as usize][observation as usize]
    }
}

impl Observation {
    /// All observations, in the order of the table's columns.
    pub const ALL: [Self; 10] = [
        Self::Offered,
        Self::Submitted,
        Self::Pending,
        Self::Preparing,
        Self::Started,
        Self::Stopping,
        Self::Suspected,
        Self::Recovered,
        Self::Measured,
        Self::Exited,
    ];
}

const TABLE: [[Transition; 10]; 9] = {
    use AttemptState as S;
    use Transition::{Known as K, Stale as X, To};
    // An observation may overtake the ones before it: a late `Pending` after `Started` is known.
    // `Suspect` does not remember where it came from: what is seen next says it again, and
    // `Recovered` alone means that it runs, the state in which leases matter. A measurement is kept
    // and changes nothing.
    [
        //            Offered         Submitted         Pending         Preparing         Started         Stopping         Suspected       Recovered       Measured         Exited
        /* Planned */
        [
            To(S::Offered),
            To(S::Submitted),
            To(S::Pending),
            To(S::Preparing),
            To(S::Running),
            To(S::Stopping),
            To(S::Suspect),
            K,
            To(S::Planned),
            To(S::Exited),
        ],
        /* Offered */
        [
            K,
            To(S::Submitted),
            To(S::Pending),
            To(S::Preparing),
            To(S::Running),
            To(S::Stopping),
            To(S::Suspect),
            K,
            To(S::Offered),
            To(S::Exited),
        ],
        /* Submitted */
        [
            K,
            K,
            To(S::Pending),
            To(S::Preparing),
            To(S::Running),
            To(S::Stopping),
            To(S::Suspect),
            K,
            To(S::Submitted),
            To(S::Exited),
        ],
        /* Pending */
        [
            K,
            K,
            To(S::Pending),
            To(S::Preparing),
            To(S::Running),
            To(S::Stopping),
            To(S::Suspect),
            K,
            To(S::Pending),
            To(S::Exited),
        ],
        /* Preparing */
        [
            K,
            K,
            To(S::Pending),
            K,
            To(S::Running),
            To(S::Stopping),
            To(S::Suspect),
            K,
            To(S::Preparing),
            To(S::Exited),
        ],
        /* Running */
        [K, K, K, K, K, To(S::Stopping), To(S::Suspect), K, To(S::Running), To(S::Exited)],
        /* Stopping */
        [K, K, K, K, K, K, K, K, To(S::Stopping), To(S::Exited)],
        /* Suspect */
        [
            K,
            K,
            To(S::Pending),
            To(S::Preparing),
            To(S::Running),
            To(S::Stopping),
            K,
            To(S::Running),
            To(S::Suspect),
            To(S::Exited),
        ],
        /* Exited */
        [X, X, X, X, X, X, X, X, X, X],
    ]
};

/// The machine as a Mermaid state diagram, made from the table.
pub fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> Planned\n");
    for from in AttemptState::ALL {
        for observation in Observation::ALL {
            if let Transition::To(to) = from.on(observation)
                && from != to
            {
                text.push_str(&format!("    {from:?} --> {to:?}: {observation:?}\n"));
            }
        }
    }
    text.push_str("    Exited --> [*]\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_keeps_the_rules() {
        let mut seen = 0;
        for from in AttemptState::ALL {
            for observation in Observation::ALL {
                seen += 1;
                let transition = from.on(observation);
                match (from, observation) {
                    // Nothing after a terminal fact.
                    (AttemptState::Exited, _) => assert_eq!(transition, Transition::Stale),
                    // Every attempt can end from anywhere.
                    (_, Observation::Exited) => {
                        assert_eq!(transition, Transition::To(AttemptState::Exited));
                    }
                    // A measurement is kept in every state and changes none.
                    (state, Observation::Measured) => assert_eq!(transition, Transition::To(state)),
                    // Who is silent while killing is judged by the stop deadline, not the lease.
                    (AttemptState::Stopping, _) => assert_eq!(transition, Transition::Known),
                    _ => assert_ne!(transition, Transition::Stale),
                }
                // Only `Suspect` and `Pending` may be left for an earlier state.
                if let Transition::To(to) = transition
                    && !matches!(from, AttemptState::Suspect | AttemptState::Preparing)
                {
                    assert!(to >= from, "{from:?} goes back to {to:?} on {observation:?}");
                }
            }
        }
        assert_eq!(seen, 90);
    }

    #[test]
    fn every_state_but_the_last_reaches_the_end() {
        let diagram = diagram();
        for state in AttemptState::ALL.iter().filter(|s| **s != AttemptState::Exited) {
            assert!(diagram.contains(&format!("{state:?} --> Exited: Exited")));
        }
    }
}
