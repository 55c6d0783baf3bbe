#!/usr/bin/env bash
# The whole suite in one command: restore, build Release once, run both test executables, sum up.
# Needs the .NET 10 SDK; with node and npm present the client tests in JavaScript run too, with PostgreSQL's server those of
# several nodes. As root of a Debian-like system it installs that server where it is absent.
# Arguments go to both test executables (for example --filter-namespace 'Flint.Tests.Tokens').
# What the tests' own servers log is kept out of the output, and shown only of a run that breaks off. What failed is shown once more at the end.
# The last line is always "N passed, N failed, N skipped"; the exit code is 0 only if tests ran and none failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1
passed=0 failed=0 skipped=0
results="$(mktemp -d)"
trap 'rm -rf "$results"' EXIT

finish() {
  echo "$passed passed, $failed failed, $skipped skipped"
  [[ $failed -eq 0 && $passed -gt 0 ]]
  exit
}

fault() { # a fault outside any single test counts as one failed test
  echo "test.sh: $1"
  failed=$((failed + 1))
}

if ! command -v dotnet >/dev/null 2>&1; then
  fault "the .NET 10 SDK is needed (https://dotnet.microsoft.com/download)"
  finish
fi

if ! dotnet build Flint.slnx -c Release -v quiet -p:UseSharedCompilation=false >"$results/build.log" 2>&1; then
  { grep -E '(error|warning) [A-Z]+[0-9]+' "$results/build.log" || cat "$results/build.log"; } | sort -u
  fault "the build failed"
  finish
fi

# Packages of the JavaScript client tests. Without them those tests skip and say so.
while IFS= read -r package; do
  folder="$(dirname "$package")"
  if ! command -v npm >/dev/null 2>&1; then
    echo "test.sh: npm is absent, $folder is not installed"
    continue
  fi
  install=install
  [[ -f "$folder/package-lock.json" ]] && install=ci
  if ! (cd "$folder" && npm "$install" --no-audit --no-fund --loglevel=error </dev/null >"$results/npm.log" 2>&1); then
    echo "test.sh: npm $install failed in $folder: $(tail -n 1 "$results/npm.log")"
  fi
done < <(find tests -name package.json -not -path '*/node_modules/*' -not -path '*/bin/*' -not -path '*/obj/*')

# PostgreSQL's server, for private instances of the tests. Without it those tests skip and say so.
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null 2>&1; then
  if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null 2>&1; then
    echo "test.sh: PostgreSQL is absent, installing Debian's"
    install_postgresql() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql </dev/null >"$results/apt.log" 2>&1; }
    install_postgresql || { apt-get update -qq </dev/null >"$results/apt.log" 2>&1; install_postgresql; } ||
      echo "test.sh: PostgreSQL could not be installed: $(tail -n 1 "$results/apt.log")"
  else
    echo "test.sh: PostgreSQL is absent; its tests skip"
  fi
fi

count() { # the figure named $2 in the run summary of log $1
  awk -v name="$2:" '/^Test run summary:/ { on = 1 } on && $1 == name { print $2; found = 1; exit } END { if (!found) print 0 }' "$1"
}

for name in Flint.Tests Flint.App.Tests; do
  echo "== $name"
  log="$results/$name.log"
  errors="$results/$name.errors"
  dotnet "tests/$name/bin/Release/net10.0/$name.dll" --no-ansi --no-progress --results-directory "$results/$name" "$@" </dev/null 2>"$errors" | tee "$log"
  code=${PIPESTATUS[0]}
  passed=$((passed + $(count "$log" succeeded)))
  skipped=$((skipped + $(count "$log" skipped)))
  bad=$(count "$log" failed)
  failed=$((failed + bad))
  if ! grep -q '^Test run summary:' "$log"; then
    tail -n 60 "$errors"
    fault "$name ended without a summary (exit code $code)"
  elif [[ $code -ne 0 && $bad -eq 0 && ! ($code -eq 8 && $# -gt 0) ]]; then # 8: the filter given matches nothing here
    tail -n 60 "$errors"
    fault "$name exited with code $code"
  fi
done

if [[ $failed -gt 0 ]]; then
  echo "== failed, once more"
  # What the reporter says of a test is set in under its name.
  awk '/^failed / { on = 1; print; next } /^[^ ]/ { on = 0 } on' "$results"/*.Tests.log
fi
if [[ $skipped -gt 0 ]]; then
  echo "== skipped, with the reason"
  # The reporter puts the reason on the line after the name.
  awk '/^skipped / { sub(/ \([^)]*\)$/, ""); sub(/^skipped /, ""); name = $0; getline; sub(/^ +/, ""); print "  " name ": " $0 }' "$results"/*.Tests.log
fi
finish
