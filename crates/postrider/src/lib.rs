//! Postrider, the program for people: all agents in one process, and every administrative verb
