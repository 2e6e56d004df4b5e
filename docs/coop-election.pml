/* Election and merge of coop-protocol.md (sections 4.1 and 8.3), for spin:
 *
 *   spin -a coop-election.pml && gcc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m1000000
 *
 * Three servers; the higher number ranks higher. While there is trouble anything happens at any
 * moment: a server announces itself, and its side hears it (with -DLOSS: each of them, or not); the
 * network falls into two sides and comes together; a server gives up one that it can't hear, or
 * restarts with its disk, or its timers run out; a primary excludes somebody. Then the trouble is
 * over, at any moment, and
 *
 *  - from every state that can be reached, ROUNDS rounds of announcements and timers lead to one
 *    primary, one epoch, and nobody who was excluded forgotten;
 *  - whatever the servers then say, in any order, they stay there;
 *  - at no time does a server take an epoch that lacks an exclusion of its own.
 *
 * By the first two they agree sooner or later if chance decides which timer runs out next.
 *
 * An epoch is its number, the server that began it (together they order epochs), and whom it and
 * its ancestors have excluded: what purge ids and ancestors tell the servers. Replication is taken
 * as done when an announcement is heard (section 5 sees to that, and the simulator to section 5).
 */
#define N 3
#define NOBODY N
#ifndef EXCLUSIONS
#define EXCLUSIONS 2
#endif
#ifndef PARTITIONS
#define PARTITIONS 1
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#ifndef ROUNDS
#define ROUNDS 4
#endif

mtype = { listening, secondary, electing, primary };

mtype role[N] = listening;
byte follows[N] = NOBODY;
byte side[N];                     /* of the partition */
byte partitions, excluded, restarts;  /* how many there were */
byte number[N], by[N], out[N];    /* the epoch in force: number, creator, excluded (a set) */
byte known[N];                    /* the highest number that i has heard of */

/* What i last heard of j, at i * N + j; whether i counts j as reachable. */
bool alive[N * N];
mtype heard[N * N] = listening;
bool passed[N * N];               /* i has passed j over in this election */

#define above(i, j) (number[i] > number[j] || (number[i] == number[j] && by[i] > by[j]))
#define includes(i, j) ((out[i] | out[j]) == out[i])
#define same(i, j) (number[i] == number[j] && by[i] == by[j])
#define max(x, y) (x > y -> x : y)

#define one_office ((role[0] == primary) + (role[1] == primary) + (role[2] == primary) == 1)
#define one_epoch (same(0, 1) && same(1, 2))
#define nobody_forgotten (out[0] == (1 << excluded) - 1)
#define agreed (one_office && one_epoch && nobody_forgotten)

inline begin_epoch(a, whom) {
  number[a] = known[a] + 1; known[a] = number[a]; by[a] = a; out[a] = out[a] | whom
}

/* Section 8.3 for a, which hears of the epoch of b. Who has excluded nobody that the other has not
 * excluded too takes the higher one; if each has excluded somebody else, the surviving primary
 * begins an epoch above both: the higher of two primaries, when it hears the lower one. */
inline merge(a, b) {
  known[a] = max(known[a], known[b]);
  if
  :: !same(a, b) && number[b] != 0 && includes(b, a) && (above(b, a) || out[b] != out[a]) ->
     number[a] = number[b]; by[a] = by[b]; out[a] = out[b]
  :: !same(a, b) && !includes(b, a) && !includes(a, b) && role[a] == primary &&
     !(role[b] == primary && b > a) -> begin_epoch(a, out[b])
  :: else -> skip
  fi
}

inline forget_passed(a) {
  passed[a * N] = false; passed[a * N + 1] = false; passed[a * N + 2] = false
}

inline follow(a, b) { role[a] = secondary; follows[a] = b; forget_passed(a) }

/* The announcement of b reaches a. */
inline hear(a, b) {
  alive[a * N + b] = true;
  heard[a * N + b] = role[b];
  kept = out[a];
  merge(a, b);
  assert((out[a] & kept) == kept);
  kept = 0;
  if
  :: role[b] == primary && role[a] == primary ->
     if
     :: b > a && same(a, b) -> follow(a, b)  /* yields once both are at one epoch */
     :: else -> skip
     fi
  :: role[b] == primary && role[a] != primary ->
     if
     :: role[a] != secondary || b >= follows[a] || heard[a * N + follows[a]] != primary ||
        !alive[a * N + follows[a]] -> follow(a, b)
     :: else -> skip
     fi
  :: role[b] != primary && role[a] == secondary && follows[a] == b ->
     role[a] = electing; follows[a] = NOBODY  /* says that it is primary no more */
  :: else -> skip
  fi
}

inline give_up(a, b) {
  alive[a * N + b] = false;
  heard[a * N + b] = listening;
  if
  :: role[a] == secondary && follows[a] == b -> role[a] = electing; follows[a] = NOBODY
  :: else -> skip
  fi
}

#define candidate(a, j) (!passed[a * N + j] && (j == a || \
  (alive[a * N + j] && heard[a * N + j] != listening)))

/* A timer of a runs out: it has listened, a window closes, the winner is absent, or the primary
 * above it has not come to one epoch with it in time. */
inline decide(a) {
  if
  :: role[a] == listening -> role[a] = electing
  :: role[a] == electing ->
     best = (candidate(a, 2) -> 2 : (candidate(a, 1) -> 1 : (candidate(a, 0) -> 0 : NOBODY)));
     if
     :: best == a ->
        role[a] = primary; follows[a] = NOBODY; forget_passed(a);
        if :: number[a] == 0 -> begin_epoch(a, 0) :: else -> skip fi
     :: best == NOBODY -> forget_passed(a)
     :: else -> passed[a * N + best] = true
     fi;
     best = 0
  :: role[a] == primary ->
     if
     :: a < 2 && alive[a * N + 2] && heard[a * N + 2] == primary -> follow(a, 2)
     :: a < 1 && alive[a * N + 1] && heard[a * N + 1] == primary -> follow(a, 1)
     :: else -> skip
     fi
  :: else -> skip
  fi
}

inline restart(a) {
  restarts++; role[a] = listening; follows[a] = NOBODY; forget_passed(a);
  alive[a * N] = false; alive[a * N + 1] = false; alive[a * N + 2] = false;
  heard[a * N] = listening; heard[a * N + 1] = listening; heard[a * N + 2] = listening
}

/* Everybody on the side of a hears it. */
inline announce(a) {
  k = 0;
  do
  :: k < N && k != a && side[k] == side[a] -> hear(k, a); k++
  :: k < N && (k == a || side[k] != side[a]) -> k++
  :: else -> break
  od;
  k = 0
}

hidden byte i, j, k, kept, best, round;

active proctype trouble() {
  do
  :: atomic { select(i : 0 .. 2); select(j : 0 .. 2);
       if
#ifdef LOSS
       :: i != j && side[i] == side[j] -> hear(i, j)
#else
       :: i == j -> announce(i)
#endif
       :: i != j && side[i] != side[j] && alive[i * N + j] -> give_up(i, j)
       :: i == j -> decide(i)
       :: i == j && role[i] == primary && excluded < EXCLUSIONS ->
          begin_epoch(i, 1 << excluded); excluded++
       :: i == j && restarts < RESTARTS -> restart(i)
       :: else -> skip
       fi; i = 0; j = 0 }
  :: atomic { partitions < PARTITIONS && side[0] + side[1] + side[2] == 0 ->
       select(i : 0 .. 2); side[i] = 1; partitions++; i = 0 }
  :: atomic { side[0] + side[1] + side[2] != 0 -> side[0] = 0; side[1] = 0; side[2] = 0 }
  :: break
  od;
  skip;
  d_step {
    side[0] = 0; side[1] = 0; side[2] = 0;
    round = 0;
    do
    :: round < ROUNDS ->
       i = 0;
       do
       :: i < N ->
          j = 0;
          do
          :: j < N && j != i -> hear(j, i); j++
          :: j < N && j == i -> j++
          :: else -> break
          od;
          i++
       :: else -> break
       od;
       i = 0;
       do
       :: i < N -> decide(i); i++
       :: else -> break
       od;
       round++
    :: else -> break
    od;
    assert(agreed);
    i = 0; j = 0; round = 0
  }
  do
  :: atomic { select(i : 0 .. 2); select(j : 0 .. 2);
       if
       :: i != j -> hear(i, j)
       :: else -> decide(i)
       fi; i = 0; j = 0;
       assert(agreed) }
  od
}
