package gossip

import "errors"

var (
	// ErrClosed: the node is closed; nothing more can be done with it.
	ErrClosed = errors.New("the node is closed")
	// ErrLeft: the node has left its cluster; it can only be closed and started anew.
	ErrLeft = errors.New("the node has left the cluster")
	// ErrNoSuchMember: no member of that name is known here.
	ErrNoSuchMember = errors.New("no such member")
	// ErrNotFailed: only failed (or left) members can be forced out.
	ErrNotFailed = errors.New("only failed members can be forced out")
	// ErrNameConflict: another node of the cluster already has this node's name.
	ErrNameConflict = errors.New("another node already uses this name")
	// ErrNoSuchKey: the key is not installed.
	ErrNoSuchKey = errors.New("no such key is installed")
	// ErrPrimaryKey: the primary key cannot be removed; use another one first.
	ErrPrimaryKey = errors.New("the primary key cannot be removed")
	// ErrKeyringFull: the keyring holds as many keys as it may; remove one first.
	ErrKeyringFull = errors.New("the keyring is full")
	// ErrNoDigest: the node neither tells nor compares digests.
	ErrNoDigest = errors.New("digests are turned off")
	// ErrNoKeyring: the node runs without encryption.
	ErrNoKeyring = errors.New("encryption is not enabled")
)
