// Checks an exported audit log with golang.org/x/mod/sumdb: the checkpoint's signature, that the
// entries give its root, that the tiles hold the same hashes, and a proof of every entry.
//
//	tlog DIR [OLDER-CHECKPOINT]
//
// With -grpc it checks proofs that came from AuditService: DIR holds the answers as JSON, older.json of
// GetCheckpoint, event.json of ListAuditEvents, inclusion.json and consistency.json.
//
//	tlog -grpc DIR
//
// With -proof it checks a proof that was written for somebody who has one event and the verifier key
// (https://c2sp.org/tlog-proof).
//
//	tlog -proof PROOF EVENT VERIFIER-KEY
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = h[index]
	}
	return found, nil
}

// tiles reads an export: its paths lack the height that sumdb's have, and partial tiles have their own.
type tiles struct {
	dir  string
	size int64
}

func (t tiles) Height() int                         { return 8 }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		whole := tile
		whole.W = int(min(256, t.size>>(8*tile.L)-tile.N<<8))
		path := strings.Replace(whole.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(t.dir, path))
		if err != nil {
			return nil, err
		}
		read = append(read, data[:tile.W*tlog.HashSize])
	}
	return read, nil
}

func entries(dir string, size int64) ([][]byte, error) {
	var all [][]byte
	for n := int64(0); n<<8 < size; n++ {
		tile := tlog.Tile{H: 8, L: -1, N: n, W: int(min(256, size-n<<8))}
		path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return nil, err
		}
		for len(data) > 0 {
			end := 2 + int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:end])
			data = data[end:]
		}
	}
	return all, nil
}

func open(path string, verifiers note.Verifiers) (tlog.Tree, error) {
	signed, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(signed, verifiers)
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func check(args []string) error {
	dir := args[0]
	key, err := os.ReadFile(filepath.Join(dir, "verifier.key"))
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	verifiers := note.VerifierList(verifier)
	tree, err := open(filepath.Join(dir, "checkpoint"), verifiers)
	if err != nil {
		return err
	}
	all, err := entries(dir, tree.N)
	if err != nil {
		return err
	}
	if int64(len(all)) != tree.N {
		return fmt.Errorf("%d entries, but the checkpoint says %d", len(all), tree.N)
	}
	var stored hashes
	for n, entry := range all {
		more, err := tlog.StoredHashes(int64(n), entry, stored)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(tree.N, stored)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return fmt.Errorf("the entries give the root %v, but the checkpoint says %v", root, tree.Hash)
	}
	reader := tlog.TileHashReader(tree, tiles{dir, tree.N})
	for n, entry := range all {
		proof, err := tlog.ProveRecord(tree.N, int64(n), reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(n), tlog.RecordHash(entry)); err != nil {
			return err
		}
	}
	if len(args) > 1 {
		older, err := open(args[1], verifiers)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, older.N, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash); err != nil {
			return err
		}
	}
	fmt.Printf("%d entries lead to the signed root\n", tree.N)
	return nil
}

type answer struct {
	Checkpoint   string
	TreeSize     int64 `json:",string"`
	NewTreeSize  int64 `json:",string"`
	LeafIndex    int64 `json:",string"`
	Hashes       [][]byte
	VerifierKeys []string
	Events       []struct{ JSON string }
}

func answered(dir, name string) (found answer, err error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	return found, err
}

func hashed(all [][]byte) (found []tlog.Hash) {
	for _, bytes := range all {
		found = append(found, tlog.Hash(bytes))
	}
	return found
}

func tree(signed string, verifiers note.Verifiers) (tlog.Tree, error) {
	opened, err := note.Open([]byte(signed), verifiers)
	if err != nil {
		return tlog.Tree{}, err
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + strings.SplitN(opened.Text, "\n", 2)[1]))
}

func checkAnswers(dir string) error {
	older, err0 := answered(dir, "older.json")
	event, err1 := answered(dir, "event.json")
	inclusion, err2 := answered(dir, "inclusion.json")
	consistency, err3 := answered(dir, "consistency.json")
	if err := errors.Join(err0, err1, err2, err3); err != nil {
		return err
	}
	verifier, err := note.NewVerifier(older.VerifierKeys[0])
	if err != nil {
		return err
	}
	verifiers := note.VerifierList(verifier)
	kept, err := tree(older.Checkpoint, verifiers)
	if err != nil {
		return err
	}
	signed, err := tree(inclusion.Checkpoint, verifiers)
	if err != nil {
		return err
	}
	if signed.N != inclusion.TreeSize || kept.N > signed.N {
		return fmt.Errorf("the checkpoints are of %d and %d events, the proof is of %d", kept.N, signed.N, inclusion.TreeSize)
	}
	leaf := tlog.RecordHash([]byte(event.Events[0].JSON))
	if err := tlog.CheckRecord(hashed(inclusion.Hashes), signed.N, signed.Hash, inclusion.LeafIndex, leaf); err != nil {
		return fmt.Errorf("the event is not in the log: %w", err)
	}
	if err := tlog.CheckTree(hashed(consistency.Hashes), signed.N, signed.Hash, kept.N, kept.Hash); err != nil {
		return fmt.Errorf("the log did not only grow: %w", err)
	}
	fmt.Printf("event %d of %d leads to the signed root, and so does the tree of %d\n", inclusion.LeafIndex, signed.N, kept.N)
	return nil
}

func checkProof(args []string) error {
	text, err0 := os.ReadFile(args[0])
	event, err1 := os.ReadFile(args[1])
	key, err2 := os.ReadFile(args[2])
	if err := errors.Join(err0, err1, err2); err != nil {
		return err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	head, checkpoint, found := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("this is no proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	signed, err := tree(checkpoint, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	leaf := tlog.RecordHash([]byte(strings.TrimSuffix(string(event), "\n")))
	return tlog.CheckRecord(proof, signed.N, signed.Hash, index, leaf)
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == "-proof" {
		if err := checkProof(os.Args[2:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "-grpc" {
		if err := checkAnswers(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: tlog DIR [OLDER-CHECKPOINT]")
		os.Exit(2)
	}
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
