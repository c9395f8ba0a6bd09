// Checks an exported audit log with golang.org/x/mod/sumdb: the signature of the checkpoint, its root hash,
// the hashes in the tiles, and an inclusion proof for every entry.
//
//	tlog DIR [OLDER-CHECKPOINT]
//
// With -grpc it checks proofs from AuditService. DIR contains the responses as JSON: older.json
// (GetCheckpoint), event.json (ListAuditEvents), inclusion.json and consistency.json.
//
//	tlog -grpc DIR
//
// With -proof it checks a proof file (https://c2sp.org/tlog-proof) against one event and a verifier key.
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

// tiles reads the tiles of an export. Unlike in sumdb, the paths do not contain the tile height.
type tiles struct {
	dir  string
	size int64
}

func (t tiles) Height() int                         { return 8 }
func (t tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(requested []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range requested {
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
		return fmt.Errorf("there are %d entries, but the checkpoint covers %d", len(all), tree.N)
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
		return fmt.Errorf("the entries have the root %v, but the checkpoint has %v", root, tree.Hash)
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

type response struct {
	Checkpoint   string
	TreeSize     int64 `json:",string"`
	NewTreeSize  int64 `json:",string"`
	LeafIndex    int64 `json:",string"`
	Hashes       [][]byte
	VerifierKeys []string
	Events       []struct{ JSON string }
}

func readResponse(dir, name string) (found response, err error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	return found, err
}

func toHashes(all [][]byte) (found []tlog.Hash) {
	for _, bytes := range all {
		found = append(found, tlog.Hash(bytes))
	}
	return found
}

func parseTree(signed string, verifiers note.Verifiers) (tlog.Tree, error) {
	opened, err := note.Open([]byte(signed), verifiers)
	if err != nil {
		return tlog.Tree{}, err
	}
	return tlog.ParseTree([]byte("go.sum database tree\n" + strings.SplitN(opened.Text, "\n", 2)[1]))
}

func checkResponses(dir string) error {
	older, err0 := readResponse(dir, "older.json")
	event, err1 := readResponse(dir, "event.json")
	inclusion, err2 := readResponse(dir, "inclusion.json")
	consistency, err3 := readResponse(dir, "consistency.json")
	if err := errors.Join(err0, err1, err2, err3); err != nil {
		return err
	}
	verifier, err := note.NewVerifier(older.VerifierKeys[0])
	if err != nil {
		return err
	}
	verifiers := note.VerifierList(verifier)
	olderTree, err := parseTree(older.Checkpoint, verifiers)
	if err != nil {
		return err
	}
	signed, err := parseTree(inclusion.Checkpoint, verifiers)
	if err != nil {
		return err
	}
	if signed.N != inclusion.TreeSize || olderTree.N > signed.N {
		return fmt.Errorf("the checkpoints cover %d and %d events, but the proof is for %d", olderTree.N, signed.N, inclusion.TreeSize)
	}
	leaf := tlog.RecordHash([]byte(event.Events[0].JSON))
	if err := tlog.CheckRecord(toHashes(inclusion.Hashes), signed.N, signed.Hash, inclusion.LeafIndex, leaf); err != nil {
		return fmt.Errorf("the event is not in the log: %w", err)
	}
	if err := tlog.CheckTree(toHashes(consistency.Hashes), signed.N, signed.Hash, olderTree.N, olderTree.Hash); err != nil {
		return fmt.Errorf("the log was not only appended to: %w", err)
	}
	fmt.Printf("event %d of %d leads to the signed root, and the log extends the checkpoint of %d events\n", inclusion.LeafIndex, signed.N, olderTree.N)
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
		return errors.New("the file is not a c2sp.org/tlog-proof@v1 proof")
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
	signed, err := parseTree(checkpoint, note.VerifierList(verifier))
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
		if err := checkResponses(os.Args[2]); err != nil {
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
