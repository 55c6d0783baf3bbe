using System.Text.Json;
using System.Text.Json.Serialization;

namespace Flint.App.Accounts;

/// <summary>What is still to be written for a request.</summary>
internal sealed record JournalLine
{
    /// <summary>The request.</summary>
    public required string RequestId { get; init; }

    /// <summary>Its record; null where only what may be set aside for it is to be freed.</summary>
    public UsageRecord? Record { get; init; }

    /// <summary>What was set aside for it; null where nothing was.</summary>
    public Reservation? Reservation { get; init; }
}

/// <summary>
/// The records that could not be written when their requests ended, as the store was gone. Each is on the disk of this machine, in a
/// file of the data directory, before its response fails, and is written once, as soon as the store can be: by this process, or by the
/// next one of the data directory.
/// </summary>
internal sealed class Journal : IAsyncDisposable
{
    /// <summary>Most lines.</summary>
    public const int MaxLines = 65_536;

    private const string Prefix = "unrecorded-", Suffix = ".jsonl";

    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(500);

    private readonly StoreWriter _writer;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _writing = new(1);
    private readonly CancellationTokenSource _end = new();
    private readonly List<JournalLine> _lines = [];
    private readonly List<FileStream> _files = []; // whose locks say that somebody cares for them; the own one is the last
    private bool _hasOwn, _retries;
    private Task _retrying = Task.CompletedTask;

    /// <summary>The journal of a writer, with what dead processes of the data directory have left.</summary>
    public Journal(StoreWriter writer)
    {
        _writer = writer;
        foreach (string path in Directory.EnumerateFiles(writer.Store.Directory, $"{Prefix}*{Suffix}"))
            Adopt(path);
    }

    /// <summary>Lines that wait.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _lines.Count;
        }
    }

    /// <summary>Keeps a record until it can be written.</summary>
    /// <exception cref="FlintException">Machine: it could not be brought to the disk, and is kept as long as this process lives; or there are too many.</exception>
    public void Keep(UsageRecord record, Reservation? reservation)
    {
        var line = new JournalLine { RequestId = record.RequestId, Record = record, Reservation = reservation is null ? null : Bare(reservation) };
        lock (_gate)
        {
            Add(line);
            try
            {
                FileStream file = Own();
                JsonSerializer.Serialize(file, line, JournalJson.Default.JournalLine);
                file.WriteByte((byte)'\n');
                file.Flush(flushToDisk: true);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                throw new FlintException(FaultSide.Machine, StoreWriter.FailedCode, $"The usage of this request could neither be recorded in {_writer.Store.Name} nor kept in {_writer.Store.Directory}: {error.Message}", error);
            }
        }
    }

    /// <summary>Frees, as soon as the store can be written, what may be set aside for a request. Where this process dies before, others do.</summary>
    public void Release(string request)
    {
        lock (_gate)
            Add(new JournalLine { RequestId = request });
    }

    /// <summary>Writes what waits, as far as the store can be written.</summary>
    /// <returns>Whether nothing is left.</returns>
    public async Task<bool> WriteAsync()
    {
        await _writing.WaitAsync();
        try
        {
            JournalLine[] lines;
            lock (_gate)
                lines = [.. _lines];
            foreach (JournalLine[] chunk in lines.Chunk(StoreWriter.MaxBatch))
            {
                Task<bool>[] written = [.. chunk.Select(line => _writer.WriteAsync(store => Write(store, line), Safety.Synced))];
                Task all = Task.WhenAll(written);
                await all.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                lock (_gate)
                    _lines.RemoveAll(chunk.Where((_, i) => written[i].IsCompletedSuccessfully).ToHashSet<JournalLine>(ReferenceEqualityComparer.Instance).Contains);
                if (!written.All(task => task.IsCompletedSuccessfully))
                    break;
            }

            lock (_gate)
            {
                if (_lines.Count > 0)
                    return false;
                DeleteFiles();
                return true;
            }
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Tries once more, and leaves what cannot be written to the next process.</summary>
    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await _retrying;
        await WriteAsync();
        lock (_gate)
        {
            foreach (FileStream file in _files)
                file.Dispose();
            _files.Clear();
        }
    }

    private async Task RetryAsync()
    {
        while (true)
        {
            await Task.Delay(RetryDelay, _end.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!_end.IsCancellationRequested)
                await WriteAsync();
            lock (_gate)
            {
                if (_lines.Count > 0 && !_end.IsCancellationRequested)
                    continue;
                _retries = false;
                return;
            }
        }
    }

    // One that was written, though nobody could say so, is not written again.
    private static bool Write(Statements store, JournalLine line)
    {
        if (line.Record is null)
            Reservations.Release(store, line.RequestId);
        else if (!Ledger.Contains(store, line.Record))
            Ledger.Record(store, line.Record, line.Reservation);
        return true;
    }

    private void Add(JournalLine line)
    {
        if (_lines.Count >= MaxLines)
            throw new FlintException(FaultSide.Machine, StoreWriter.FailedCode, $"{MaxLines} requests wait to be recorded in {_writer.Store.Name}, the most that are kept.");
        _lines.Add(line);
        if (_retries)
            return;
        _retries = true;
        _retrying = Task.Run(RetryAsync);
    }

    private FileStream Own()
    {
        if (_hasOwn)
            return _files[^1];
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Share = FileShare.None };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        _files.Add(new FileStream(Path.Combine(_writer.Store.Directory, $"{Prefix}{Guid.NewGuid():N}{Suffix}"), options));
        _hasOwn = true;
        return _files[^1];
    }

    private void Adopt(string path)
    {
        FileStream file;
        try
        {
            file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
        }
        catch (Exception cared) when (cared is IOException or UnauthorizedAccessException)
        {
            return; // its process lives, or it is gone
        }

        _files.Add(file);
        using var reader = new StreamReader(file, leaveOpen: true);
        while (reader.ReadLine() is string text)
        {
            if (Parse(text) is { } line)
                lock (_gate)
                    Add(line);
        }

        if (_lines.Count == 0)
            DeleteFiles();
    }

    // The end of a line that was cut off by the death of its process was never told to be kept.
    private static JournalLine? Parse(string text)
    {
        try
        {
            return JsonSerializer.Deserialize(text, JournalJson.Default.JournalLine);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    // Emptied before its lock is let go: who adopts it then finds nothing in it.
    private void DeleteFiles()
    {
        foreach (FileStream file in _files)
        {
            file.SetLength(0);
            file.Dispose();
            File.Delete(file.Name);
        }

        _files.Clear();
        _hasOwn = false;
    }

    // No more of the key than who pays.
    private static Reservation Bare(Reservation reservation) => reservation with
    {
        Price = null,
        Key = reservation.Key is { } key ? new Key { Id = key.Id, ProjectId = key.ProjectId, OrganizationId = key.OrganizationId } : null,
    };
}

[JsonSerializable(typeof(JournalLine))]
internal sealed partial class JournalJson : JsonSerializerContext;
