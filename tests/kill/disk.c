/* A simulated disk that loses unsynced data, for the kill tests. It is preloaded into the service. At each
 * sync, and only then, it updates a shadow of each file under LOGKEY_DISK_FOLDER. A power cut restores the
 * files from their shadows (disk.rs).
 *
 *   SHADOW/NAME.data    the content that a sync of the file NAME made durable
 *   SHADOW/NAME.inode   the number of the file whose content this is: after a rename or a deletion that a kill
 *                       interrupted, NAME can be another file, whose content never mixes with it
 *   SHADOW/NAME.shrunk  the smallest length to which the file was truncated since its last sync
 *   SHADOW/NAME.named   exists once a sync of the folder made the name durable; NAME can be a folder too
 *   SHADOW/NAME.lost    one byte for each block, 1 if a sync of the block failed. As in Linux, the block
 *                       then counts as clean: a later sync succeeds without writing it, unless it was
 *                       written again.
 *   SHADOW/.control     the behaviour of syncs: `once` fails with EIO a single time, `fail` always fails,
 *                       `hang` waits until the file changes, `slow` takes 20 ms more, `ignore` reports
 *                       success and does nothing. If the file is absent or empty, syncs work.
 *
 * NAME is the path under the folder, with `!` instead of each `/`. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, CHUNK = 64 * BLOCK };
enum file_type { OUTSIDE, A_FILE, A_FOLDER };

static pthread_mutex_t shadow_lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void pause_ms(long ms) {
  struct timespec wait = {0, ms * 1000000};
  nanosleep(&wait, NULL);
}

static void swap(char *name, char from, char to) {
  for (; (name = strchr(name, from)); name++) *name = to;
}

/* Classifies a path and writes its NAME. Lock files and shared memory count as outside, because they hold no
 * durable data. */
static enum file_type classify(const char *path, char *name) {
  const char *folder = getenv("LOGKEY_DISK_FOLDER");
  struct stat is;
  size_t length = folder ? strlen(folder) : 0;
  if (!length || strncmp(path, folder, length)) return OUTSIDE;
  if (path[length] && path[length] != '/') return OUTSIDE;
  size_t end = strlen(path);
  if (end > 4 && !strcmp(path + end - 4, "-shm")) return OUTSIDE;
  if (end > 5 && !strcmp(path + end - 5, ".lock")) return OUTSIDE;
  snprintf(name, NAME_MAX, "%s", path[length] ? path + length + 1 : "");
  swap(name, '/', '!');
  return !stat(path, &is) && S_ISDIR(is.st_mode) ? A_FOLDER : A_FILE;
}

/* The path of a NAME. */
static char *real(char *path, const char *name) {
  int folder = snprintf(path, PATH_MAX, "%s/", getenv("LOGKEY_DISK_FOLDER"));
  snprintf(path + folder, PATH_MAX - folder, "%s", name);
  swap(path + folder, '!', '/');
  return path;
}

static enum file_type classify_fd(int fd, char *name) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0 || path[0] != '/') return OUTSIDE;
  path[length] = 0;
  return classify(path, name);
}

static char *shadow(char *path, const char *name, const char *kind) {
  snprintf(path, PATH_MAX, "%s/%s%s", getenv("LOGKEY_DISK_SHADOW"), name, kind);
  return path;
}

static void read_control(char *word) {
  char path[PATH_MAX];
  int file = open(shadow(path, "", ".control"), O_RDONLY);
  ssize_t length = file < 0 ? 0 : read(file, word, 15);
  word[length > 0 ? length : 0] = 0;
  if (file >= 0) close(file);
}

static void put(const char *name, const char *kind, const void *bytes, size_t length, off_t at) {
  char path[PATH_MAX];
  int file = open(shadow(path, name, kind), O_WRONLY | O_CREAT, 0600);
  if (file < 0 || REAL(pwrite64)(file, bytes, length, at) != (ssize_t)length) abort();
  close(file);
}

static int is_lost(int lost, off_t block) {
  char is = 0;
  return lost >= 0 && pread(lost, &is, 1, block) == 1 && is;
}

/* Copies the blocks in which the file and its shadow differ to the shadow, or marks them as lost. */
static void walk(const char *name, int lose) {
  static char now[CHUNK], then[CHUNK];
  char path[PATH_MAX];
  struct stat is;
  int from = open(real(path, name), O_RDONLY);
  int to = open(shadow(path, name, ".data"), O_RDWR | O_CREAT, 0600);
  int lost = open(shadow(path, name, ".lost"), O_RDONLY);
  if (from < 0 || to < 0 || fstat(from, &is)) goto out;
  put(name, ".inode", &is.st_ino, sizeof is.st_ino, 0);
  for (off_t at = 0; at < is.st_size; at += CHUNK) {
    memset(then, 0, CHUNK);
    ssize_t length = pread(from, now, CHUNK, at);
    ssize_t stored = pread(to, then, CHUNK, at);
    if (length == stored && !memcmp(now, then, length)) continue;
    for (ssize_t in = 0; in < length; in += BLOCK) {
      size_t part = length - in < BLOCK ? length - in : BLOCK;
      int differs = stored < in + (ssize_t)part || memcmp(now + in, then + in, part);
      if (differs && lose) put(name, ".lost", "\1", 1, (at + in) / BLOCK);
      if (differs && !lose && !is_lost(lost, (at + in) / BLOCK)) put(name, ".data", now + in, part, at + in);
    }
  }
  if (!lose && REAL(ftruncate64)(to, is.st_size)) abort();
  if (!lose) REAL(unlink)(shadow(path, name, ".shrunk"));
out:
  if (from >= 0) close(from);
  if (to >= 0) close(to);
  if (lost >= 0) close(lost);
}

/* Makes every name in this folder durable. */
static void persist_names(const char *in) {
  char path[PATH_MAX], name[NAME_MAX];
  DIR *folder = opendir(real(path, in));
  for (struct dirent *entry; folder && (entry = readdir(folder));) {
    if (snprintf(name, sizeof name, "%s%s%s", in, *in ? "!" : "", entry->d_name) >= NAME_MAX) abort();
    if (entry->d_name[0] != '.' && classify(real(path, name), name) != OUTSIDE) put(name, ".named", "", 0, 0);
  }
  if (folder) closedir(folder);
}

static int synced(int fd, int (*sync)(int)) {
  char name[NAME_MAX], word[16], control[PATH_MAX], spent[PATH_MAX];
  enum file_type type = classify_fd(fd, name);
  if (type == OUTSIDE) return sync(fd);
  for (read_control(word); !strncmp(word, "hang", 4); read_control(word)) pause_ms(5);
  if (!strncmp(word, "slow", 4)) pause_ms(20);
  if (!strncmp(word, "ignore", 6)) return 0;
  int once = !strncmp(word, "once", 4);
  /* The thread that renames the control file is the one that fails. */
  once = once && !rename(shadow(control, "", ".control"), shadow(spent, "", ".spent"));
  int fails = once || !strncmp(word, "fail", 4);
  pthread_mutex_lock(&shadow_lock);
  if (type == A_FILE) walk(name, fails);
  if (type == A_FOLDER && !fails) persist_names(name);
  pthread_mutex_unlock(&shadow_lock);
  if (fails) errno = EIO;
  return fails ? -1 : 0;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

/* Marks a written block as dirty again. */
static void written(int fd, off_t at, ssize_t length) {
  char name[NAME_MAX], path[PATH_MAX];
  if (length <= 0 || classify_fd(fd, name) != A_FILE || access(shadow(path, name, ".lost"), F_OK)) return;
  pthread_mutex_lock(&shadow_lock);
  for (off_t block = at / BLOCK; block <= (at + length - 1) / BLOCK; block++) put(name, ".lost", "\0", 1, block);
  pthread_mutex_unlock(&shadow_lock);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  ssize_t done = REAL(pwrite64)(fd, bytes, length, at);
  written(fd, at, done);
  return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }

ssize_t write(int fd, const void *bytes, size_t length) {
  ssize_t done = REAL(write)(fd, bytes, length);
  char name[NAME_MAX];
  if (done > 0 && classify_fd(fd, name) == A_FILE) written(fd, lseek(fd, 0, SEEK_CUR) - done, done);
  return done;
}

/* A file system records a truncation in one step: it survives as a whole or not at all, and so do the writes
 * after it. */
int ftruncate64(int fd, off64_t length) {
  int done = REAL(ftruncate64)(fd, length);
  char name[NAME_MAX], path[PATH_MAX];
  if (done || classify_fd(fd, name) != A_FILE) return done;
  pthread_mutex_lock(&shadow_lock);
  struct stat synced;
  off64_t before = stat(shadow(path, name, ".data"), &synced) ? 0 : synced.st_size;
  int file = open(shadow(path, name, ".shrunk"), O_RDONLY);
  if (file >= 0 && pread(file, &before, sizeof before, 0) != sizeof before) abort();
  if (file >= 0) close(file);
  if (length < before) put(name, ".shrunk", &length, sizeof length, 0);
  pthread_mutex_unlock(&shadow_lock);
  return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static const char *const KINDS[] = {".named", ".inode", ".data", ".shrunk", ".lost"};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

/* A deletion is durable at once; a new name becomes durable with a sync of the folder. */
int unlink(const char *path) {
  char name[NAME_MAX], gone[PATH_MAX];
  int done = REAL(unlink)(path);
  if (done || classify(path, name) != A_FILE) return done;
  for (int kind = 0; kind < KIND_COUNT; kind++) REAL(unlink)(shadow(gone, name, KINDS[kind]));
  return done;
}

/* Replaces a shadow in one step: the process can be killed at any moment. */
static void move(const char *from, const char *to, const char *kind) {
  char old[PATH_MAX], new[PATH_MAX];
  if (REAL(rename)(shadow(old, from, kind), shadow(new, to, kind))) REAL(unlink)(new);
}

/* The shadows first, with the number before the content: between two steps, the process can be killed, and a
 * synced file keeps its content. */
int rename(const char *from, const char *to) {
  char old[NAME_MAX], new[NAME_MAX], gone[PATH_MAX];
  if (classify(from, old) == A_FILE && classify(to, new) == A_FILE) {
    for (int kind = 1; kind < KIND_COUNT; kind++) move(old, new, KINDS[kind]);
    REAL(unlink)(shadow(gone, old, KINDS[0]));
  }
  return REAL(rename)(from, to);
}
