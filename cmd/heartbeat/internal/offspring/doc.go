// Package offspring says how this program starts others of itself, which must not outlive it.
package offspring
