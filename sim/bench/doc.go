// Package bench measures the network: how much passes, how long it takes, how
// large the agent is, and how soon it goes on after an outage. Each figure
// stands beside what is wanted of it, and where it can beside a yardstick that
// was measured in the same minute on the same machine: a ratio says more than
// a figure where others use the machine too.
//
// What is compared is run in turn, round by round, and the median of the
// rounds counts. Everything that is measured is the production code; brokers
// are embedded, or processes of their own that end with the measurement.
//
// Statistics and table are pure. Everything else starts and stops whole parts
// of the network; nothing runs after Run has returned.
package bench
