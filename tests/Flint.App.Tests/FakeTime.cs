namespace Flint.App.Tests;

/// <summary>A clock that a test sets.</summary>
internal sealed class FakeTime : TimeProvider
{
    internal DateTimeOffset Now { get; set; } = new(2026, 11, 29, 23, 58, 10, TimeSpan.Zero);

    internal void Advance(TimeSpan span) => Now += span;

    public override DateTimeOffset GetUtcNow() => Now;
}
