// Runs the commands of logkey that call the service, with a home directory of one caller.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

export class Cli {
  static async create(server) {
    const cli = new Cli();
    cli.home = await mkdtemp(path.join(os.tmpdir(), 'logkey-cli-'));
    cli.server = server;
    return cli;
  }

  /** Runs a command. `onNote` gets what it prints on standard error, as it comes. */
  async run(args, onNote = () => {}) {
    const env = { PATH: process.env.PATH, HOME: this.home, LOGKEY_SERVER: this.server };
    const command = spawn(process.env.LOGKEY_BINARY, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = { stdout: '', stderr: '' };
    command.stdout.on('data', (text) => { ended.stdout += text; });
    command.stderr.on('data', (text) => {
      ended.stderr += text;
      onNote(ended.stderr);
    });
    ended.code = await new Promise((done) => { command.once('close', done); });
    return ended;
  }

  /** The file with the tokens of the context. */
  get tokens() { return path.join(this.home, '.config/logkey/tokens/default.json'); }

  async storedTokens() { return JSON.parse(await readFile(this.tokens, 'utf8')); }

  /** Makes the stored token look as if it had expired. */
  async expire() {
    const tokens = { ...await this.storedTokens(), expires_at: 0 };
    await writeFile(this.tokens, JSON.stringify(tokens));
  }

  async remove() { await rm(this.home, { recursive: true }); }
}
