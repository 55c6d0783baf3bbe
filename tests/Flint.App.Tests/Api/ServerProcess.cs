using System.Diagnostics;
using Flint.App.Tests.Cli;

namespace Flint.App.Tests.Api;

/// <summary>A server that is a process of its own, to be killed and started again. While it is dead, its clients wait for its next address.</summary>
internal sealed class ServerProcess(params string[] options) : IDisposable
{
    private readonly Lock _gate = new();
    private TaskCompletionSource<Uri> _address = Unknown();
    private Process? _process;

    /// <summary>Where it listens, as soon as it does.</summary>
    internal Task<Uri> Address
    {
        get
        {
            lock (_gate)
                return _address.Task;
        }
    }

    /// <summary>Whether it has ended though nobody killed it.</summary>
    internal bool HasFailed
    {
        get
        {
            lock (_gate)
                return _address.Task.IsCompleted && _process!.HasExited;
        }
    }

    internal async Task StartAsync()
    {
        Process process = Process.Start(FlintProcess.Told(["serve", .. options, "--port", "0", "--threads", "1"]))!;
        lock (_gate)
            _process = process;
        _address.SetResult(await ListeningAsync(process));
    }

    /// <summary>Ends it with SIGKILL on Unix: nothing of the process runs after it.</summary>
    internal async Task KillAsync()
    {
        lock (_gate)
            _address = Unknown();
        _process!.Kill();
        await _process.WaitForExitAsync();
    }

    public void Dispose()
    {
        if (_process is null)
            return;
        _process.Kill(); // nothing where it has ended
        _process.Dispose();
    }

    private static TaskCompletionSource<Uri> Unknown() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static async Task<Uri> ListeningAsync(Process server)
    {
        const string mark = "Listening at ";
        while (await server.StandardOutput.ReadLineAsync() is string line)
        {
            if (line.StartsWith(mark, StringComparison.Ordinal))
                return new Uri(line[mark.Length..]);
        }

        throw new InvalidOperationException("the server ended before it listened");
    }
}
