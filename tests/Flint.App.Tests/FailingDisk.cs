using System.Data.Common;
using System.Runtime.InteropServices;
using Dapper;
using Flint.App.Accounts;
using Microsoft.Win32.SafeHandles;

namespace Flint.App.Tests;

/// <summary>
/// A file's disk that does not take what is written: what is synced in the place of the log is something that cannot be, and a reader
/// keeps the log from being moved into the file. It is whole again from the end of this on.
/// </summary>
internal sealed partial class FailingDisk : IDisposable
{
    private readonly DbConnection _reader;
    private readonly DbTransaction _reading;

    private FailingDisk(Store store)
    {
        _reader = store.Open();
        _reading = store.Database.BeginRead(_reader);
        _reader.ExecuteScalar<long>("SELECT records FROM chain", transaction: _reading); // a state is read from here on ...
        using (DbConnection writer = store.Open())
            writer.Execute("UPDATE revisions SET keys = keys"); // ... and what the log has behind it stays there
        using SafeFileHandle never = File.OpenHandle("/dev/null");
        SafeFileHandle log = ((SqliteDatabase)store.Database).Log ?? throw new InvalidOperationException("nothing was written yet");
        if (Replace((int)never.DangerousGetHandle(), (int)log.DangerousGetHandle()) < 0)
            throw new IOException(Marshal.GetLastPInvokeErrorMessage());
    }

    /// <summary>Breaks the disk of a store that was written, from what is written next on; skips the test where that cannot be done.</summary>
    internal static FailingDisk Break(Store store)
    {
        if (!OperatingSystem.IsLinux())
            Assert.Skip("what is synced is replaced as Linux does it");
        return new FailingDisk(store);
    }

    public void Dispose()
    {
        _reading.Dispose();
        _reader.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "dup2", SetLastError = true)]
    private static partial int Replace(int from, int to);
}
