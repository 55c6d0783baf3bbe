using System.Diagnostics;
using Dapper;
using Npgsql;

[assembly: AssemblyFixture(typeof(Flint.App.Tests.PostgresEnd))]

namespace Flint.App.Tests;

/// <summary>Ends the server that tests share after the last of them.</summary>
public sealed class PostgresEnd : IDisposable
{
    /// <inheritdoc/>
    public void Dispose() => PostgresServer.EndShared();
}

/// <summary>A PostgreSQL server of the tests' own: its data are in a temporary folder, and it is reached by a socket there.</summary>
internal sealed class PostgresServer : IDisposable
{
    private static readonly Lazy<PostgresServer> SharedServer = new(() => new PostgresServer());
    private static readonly string? Programs = FindPrograms();
    private static int _databases;

    private readonly string _folder;
    private readonly int? _port;

    /// <summary>Starts one.</summary>
    /// <param name="port">The port of this machine that it listens at too; null for none.</param>
    internal PostgresServer(int? port = null)
    {
        _port = port;
        Require();
        _folder = Directory.CreateTempSubdirectory("flint-pg-").FullName;
        if (Environment.IsPrivilegedProcess) // it does not run as root
            Run("chown", "postgres", _folder);
        Postgres("initdb", "-D", Data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions");
        File.AppendAllText(
            Path.Combine(Data, "postgresql.conf"),
            $"listen_addresses = '{(port is null ? "" : "127.0.0.1")}'\nport = {port ?? 5432}\nunix_socket_directories = '{_folder}'\nfsync = off\nfull_page_writes = off\nmax_connections = 300\nshared_buffers = 32MB\n");
        Start();
    }

    /// <summary>The server that tests share; skips the calling test, visibly, where PostgreSQL is absent.</summary>
    internal static PostgresServer Shared
    {
        get
        {
            Require();
            return SharedServer.Value;
        }
    }

    private string Data => Path.Combine(_folder, "data");

    public void Dispose()
    {
        Stop();
        Directory.Delete(_folder, recursive: true);
    }

    internal static void EndShared()
    {
        if (SharedServer.IsValueCreated)
            SharedServer.Value.Dispose();
    }

    internal void Start() => Postgres("pg_ctl", "-D", Data, "-l", Path.Combine(_folder, "log"), "-w", "start");

    /// <summary>Ends it at once, with all its connections.</summary>
    internal void Stop() => Postgres("pg_ctl", "-D", Data, "-m", "immediate", "-w", "stop");

    /// <summary>Makes a database, and gives its name.</summary>
    internal string CreateDatabase()
    {
        string name = $"test{Interlocked.Increment(ref _databases)}";
        Execute($"CREATE DATABASE {name} TEMPLATE template0");
        return name;
    }

    internal void DropDatabase(string name) => Execute($"DROP DATABASE IF EXISTS {name} WITH (FORCE)");

    internal string AddressOf(string database) => _port is int port ? $"postgres://postgres@127.0.0.1:{port}/{database}" : $"postgres://postgres@/{database}?host={_folder}";

    private static void Require()
    {
        if (Programs is null)
            Assert.Skip("PostgreSQL is absent: neither /usr/lib/postgresql nor the path has initdb and pg_ctl");
    }

    private static string? FindPrograms()
    {
        const string debian = "/usr/lib/postgresql";
        IEnumerable<string> folders = Directory.Exists(debian) ? Directory.GetDirectories(debian).OrderDescending(StringComparer.Ordinal).Select(version => Path.Combine(version, "bin")) : [];
        return folders.Concat((Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator))
            .FirstOrDefault(folder => File.Exists(Path.Combine(folder, "initdb")) && File.Exists(Path.Combine(folder, "pg_ctl")));
    }

    private void Execute(string sql)
    {
        using var connection = new NpgsqlConnection($"Host={_folder};Port={_port ?? 5432};Username=postgres;Database=postgres;Pooling=false");
        connection.Execute(sql);
    }

    private void Postgres(string program, params string[] arguments)
    {
        string path = Path.Combine(Programs!, program);
        if (Environment.IsPrivilegedProcess)
            Run("runuser", ["-u", "postgres", "--", path, .. arguments]);
        else
            Run(path, arguments);
    }

    // No pipe: the server would keep it open.
    private void Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = _folder };
        foreach (string argument in (string[])["-c", "exec \"$@\" >>out 2>&1 </dev/null", "sh", program, .. arguments])
            start.ArgumentList.Add(argument);
        using Process process = Process.Start(start)!;
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}: {File.ReadAllText(Path.Combine(_folder, "out"))}");
    }
}
