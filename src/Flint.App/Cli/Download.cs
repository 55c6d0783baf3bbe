using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace Flint.App.Cli;

/// <summary>
/// One file on its way from the hub to its place on disk. Bytes gather in <c>FILE.partial</c>, which a later call goes on with;
/// only a file of the promised size and SHA-256 gets its name, any other is removed.
/// </summary>
/// <param name="hub">Where from.</param>
/// <param name="repository">The repository on the hub.</param>
/// <param name="file">The file in it.</param>
/// <param name="target">Where to.</param>
/// <param name="pause">Wait after a first request that brought nothing; it doubles with each further one.</param>
internal sealed class Download(Hub hub, string repository, HubFile file, string target, TimeSpan pause)
{
    private const int BufferBytes = 1 << 20;

    /// <summary>Cuts in a row, without a byte gained in between, after which the download gives up.</summary>
    private const int MaxIdleCuts = 4;

    private string? _sha256 = file.Sha256;

    private string Partial => target + ".partial";

    /// <summary>Brings the file to its place.</summary>
    /// <param name="progress">Told the number of bytes that are in place, from 0 up.</param>
    /// <param name="cancel">Stops, keeping what has arrived.</param>
    /// <returns>False when the very file was there already.</returns>
    /// <exception cref="FlintException">ModelFile: size or hash differ from the promise; Machine: the connection or the disk fails.</exception>
    internal async Task<bool> RunAsync(Action<long> progress, CancellationToken cancel)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        if (_sha256 is not null && await IsCompleteAsync(progress, cancel))
            return false;

        await using (FileStream partial = OpenPartial())
        using (var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256))
        {
            if (file.Size >= 0 && partial.Length > file.Size) partial.SetLength(0);
            CheckSpace(partial.Length);
            await HashAsync(partial, hash, progress, cancel);
            await FillAsync(partial, hash, progress, cancel);
            await partial.FlushAsync(cancel);
            Verify(partial, hash);
        }
        File.Move(Partial, target, overwrite: true);
        return true;
    }

    private FileStream OpenPartial()
    {
        try
        {
            return new FileStream(Partial, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, BufferBytes, FileOptions.Asynchronous);
        }
        catch (IOException error) when (File.Exists(Partial))
        {
            throw new FlintException(FaultSide.Machine, "busy", $"{Partial} is in use; is another pull running?", error);
        }
    }

    /// <summary>Requests what is missing until all of it is there; a cut connection is taken up again where it was cut.</summary>
    private async Task FillAsync(FileStream partial, IncrementalHash hash, Action<long> progress, CancellationToken cancel)
    {
        int idleCuts = 0;
        while (file.Size < 0 || partial.Length < file.Size)
        {
            long before = partial.Length;
            string? cut;
            try
            {
                cut = await ReceiveAsync(partial, hash, progress, cancel);
            }
            catch (FlintException fault) when (fault.Code is "hub_unreachable" or "hub_busy")
            {
                cut = fault.Message;
            }
            if (cut is null) return;
            idleCuts = partial.Length > before ? 0 : idleCuts + 1;
            if (idleCuts == MaxIdleCuts)
            {
                throw new FlintException(FaultSide.Machine, "download_cut",
                    $"{repository}/{file.Path} stopped at byte {partial.Length} of {file.Size} ({cut}); pull again to go on from there");
            }
            if (idleCuts > 0) await Task.Delay(pause * (1 << (idleCuts - 1)), cancel);
        }
    }

    /// <summary>One request. Null when the hub sent the file to its end, else why it stopped short.</summary>
    private async Task<string?> ReceiveAsync(FileStream partial, IncrementalHash hash, Action<long> progress, CancellationToken cancel)
    {
        var (response, sha256) = await hub.OpenAsync(repository, file.Path, partial.Length, cancel);
        using (response)
        {
            if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable && partial.Length > 0)
            {
                Restart(partial, hash); // what is here is not the beginning of what the hub has
                return "the hub has no such range";
            }
            Hub.Check(response, $"{repository}/{file.Path}");
            _sha256 ??= sha256;
            if (_sha256 is null)
            {
                throw new FlintException(FaultSide.Machine, "no_hash",
                    $"the hub names no SHA-256 for {repository}/{file.Path}, so it cannot be verified and is not fetched");
            }
            ContentRangeHeaderValue? range = response.Content.Headers.ContentRange;
            bool granted = response.StatusCode == HttpStatusCode.PartialContent;
            if (granted && range?.From != partial.Length)
            {
                Restart(partial, hash);
                return "the hub sent another range than asked for";
            }
            if (!granted && partial.Length > 0) Restart(partial, hash);

            long total = (granted ? range?.Length : response.Content.Headers.ContentLength) ?? file.Size;
            if (file.Size >= 0 && total != file.Size) throw Discard(partial, $"the hub lists {file.Size} bytes and sends {total}");
            string? cut = await CopyAsync(response, partial, hash, progress, cancel);
            return cut is null && total >= 0 && partial.Length < total ? "the answer ended early" : cut;
        }
    }

    private async Task<string?> CopyAsync(HttpResponseMessage response, FileStream partial, IncrementalHash hash, Action<long> progress, CancellationToken cancel)
    {
        await using Stream body = await response.Content.ReadAsStreamAsync(cancel);
        var buffer = new byte[BufferBytes];
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        while (true)
        {
            int read;
            try
            {
                silence.CancelAfter(Hub.Silence);
                read = await body.ReadAsync(buffer, silence.Token);
            }
            catch (Exception error) when (error is IOException or HttpRequestException or OperationCanceledException && !cancel.IsCancellationRequested)
            {
                return error is OperationCanceledException ? $"silent for {Hub.Silence.TotalSeconds:0} s" : error.GetBaseException().Message;
            }
            if (read == 0) return null;
            if (file.Size >= 0 && partial.Length + read > file.Size) throw Discard(partial, $"the hub lists {file.Size} bytes and sends more");
            hash.AppendData(buffer, 0, read);
            await partial.WriteAsync(buffer.AsMemory(0, read), cancel);
            progress(partial.Position);
        }
    }

    private void Verify(FileStream partial, IncrementalHash hash)
    {
        if (file.Size >= 0 && partial.Length != file.Size) throw Discard(partial, $"{file.Size} bytes expected, {partial.Length} received");
        string found = Convert.ToHexStringLower(hash.GetCurrentHash());
        if (found != _sha256) throw Discard(partial, $"SHA-256 {_sha256} expected, {found} received");
    }

    private FlintException Discard(FileStream partial, string why)
    {
        partial.Dispose();
        File.Delete(Partial);
        return FlintException.File("download_mismatch", $"{repository}/{file.Path}: {why}; the file was removed");
    }

    private async Task<bool> IsCompleteAsync(Action<long> progress, CancellationToken cancel)
    {
        if (!File.Exists(target) || (file.Size >= 0 && new FileInfo(target).Length != file.Size)) return false;
        await using var present = new FileStream(target, FileMode.Open, FileAccess.Read, FileShare.Read, BufferBytes, FileOptions.Asynchronous);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await HashAsync(present, hash, progress, cancel);
        return Convert.ToHexStringLower(hash.GetCurrentHash()) == _sha256;
    }

    private static async Task HashAsync(FileStream stream, IncrementalHash hash, Action<long> progress, CancellationToken cancel)
    {
        var buffer = new byte[BufferBytes];
        stream.Position = 0;
        for (int read; (read = await stream.ReadAsync(buffer, cancel)) > 0; progress(stream.Position))
            hash.AppendData(buffer, 0, read);
    }

    private static void Restart(FileStream partial, IncrementalHash hash)
    {
        partial.SetLength(0);
        partial.Position = 0;
        hash.GetHashAndReset();
    }

    private void CheckSpace(long present)
    {
        long free = new DriveInfo(Path.GetFullPath(Path.GetDirectoryName(target)!)).AvailableFreeSpace;
        if (file.Size - present > free)
        {
            throw new FlintException(FaultSide.Machine, "disk_full",
                $"{file.Path} needs {Sizes.Text(file.Size - present)} more and {Path.GetDirectoryName(target)} has {Sizes.Text(free)} free");
        }
    }
}
