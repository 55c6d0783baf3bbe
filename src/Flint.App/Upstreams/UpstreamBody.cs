namespace Flint.App.Upstreams;

/// <summary>The body of an upstream's answer: waits for each piece no longer than it may, and lets no event grow without end.</summary>
/// <param name="inner">The body.</param>
/// <param name="deadline">Set already for the first byte.</param>
/// <param name="pause">The longest wait for each further one.</param>
/// <param name="overflow">What is wrong where an event is too long.</param>
internal sealed class UpstreamBody(Stream inner, Deadline deadline, TimeSpan pause, Func<FlintException> overflow) : Stream
{
    /// <summary>Most bytes of an event.</summary>
    public const int MaxEventBytes = 4 * 1024 * 1024;

    private bool _hasBegun;
    private long _bytes; // since the last event was read

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => false;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Takes note that an event has been read.</summary>
    public void EndEvent() => _bytes = 0;

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_hasBegun)
            deadline.Set(pause);
        int read = await inner.ReadAsync(buffer, cancellationToken);
        deadline.Clear(); // whoever is told may take long
        _hasBegun = true;
        _bytes += read;
        return _bytes <= MaxEventBytes ? read : throw overflow();
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
