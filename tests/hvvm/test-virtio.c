/* SPDX-License-Identifier: MIT */
/*
 * test-virtio.c - a virtio device's registers and what --vhost-user asks for
 *
 * A driver that does it right, one that does everything in the wrong order,
 * and one that writes anything anywhere.
 */
#include "../unit/suite.h"
#include "base/bytes.h"
#include "hvvm/virtio-kind.h"
#include "hvvm/virtio-mmio.h"

#define FEATURES (1ull << VIRTIO_F_MODERN | 1ull << 28 | 1ull << 5)

static struct {
	struct virtio_mmio v;
	unsigned int starts, stops, notes, interrupts, configs;
	unsigned int noted, config_at;
	bool refuse, running;
} dev;

static bool on_start(void *ctx)
{
	ck_assert_ptr_eq(ctx, &dev);
	ck_assert(!dev.running);
	dev.starts++;
	dev.running = !dev.refuse;
	return dev.running;
}

static void on_stop(void *ctx)
{
	ck_assert_ptr_eq(ctx, &dev);
	ck_assert(dev.running);
	dev.running = false;
	dev.stops++;
}

static void on_notify(void *ctx, unsigned int queue)
{
	(void)ctx;
	ck_assert(dev.running);
	ck_assert_uint_lt(queue, dev.v.count);
	dev.noted = queue;
	dev.notes++;
}

static void on_config(void *ctx, unsigned int at, const uint8_t *data,
		      unsigned int len)
{
	(void)ctx;
	(void)data;
	ck_assert_uint_le(at + len, dev.v.config_len);
	dev.config_at = at;
	dev.configs++;
}

static void on_interrupt(void *ctx)
{
	(void)ctx;
	dev.interrupts++;
}

static const struct virtio_ops ops = {
	.start = on_start,
	.stop = on_stop,
	.notify = on_notify,
	.config = on_config,
	.interrupt = on_interrupt,
};

static void fresh(void)
{
	memset(&dev, 0, sizeof(dev));
	dev.v = (struct virtio_mmio) {
		.ops = &ops,
		.ctx = &dev,
		.device = 2,
		.offered = FEATURES,
		.count = 2,
		.num_max = 256,
		.config_len = 60,
	};
	for (unsigned int i = 0; i < 60; i++)
		dev.v.config[i] = (uint8_t)(i + 1);
}

static uint32_t get(uint64_t at)
{
	uint8_t b[4];

	virtio_mmio_read(&dev.v, at, b, sizeof(b));
	return le32_get(b);
}

static void set(uint64_t at, uint32_t v)
{
	uint8_t b[4];

	le32_put(b, v);
	virtio_mmio_write(&dev.v, at, b, sizeof(b));
}

static void queue(unsigned int i)
{
	set(0x30, i);
	ck_assert_uint_eq(get(0x34), 256);
	ck_assert_uint_eq(get(0x44), 0);
	set(0x38, 128);
	set(0x80, 0x1000);
	set(0x84, 1);
	set(0x90, 0x2000);
	set(0x94, 2);
	set(0xa0, 0x3000);
	set(0xa4, 3);
	set(0x44, 1);
	ck_assert_uint_eq(get(0x44), 1);
}

static void accept_features(uint64_t features)
{
	for (unsigned int page = 0; page < 2; page++) {
		set(0x24, page);
		set(0x20, (uint32_t)(features >> 32 * page));
	}
	set(0x70, 3);
	set(0x70, 0xb);
}

static void bring_up(void)
{
	accept_features(FEATURES);
	ck_assert_uint_eq(get(0x70), 0xb);
	queue(0);
	queue(1);
	set(0x70, 0xf);
}

START_TEST(test_identity)
{
	fresh();
	ck_assert_uint_eq(get(0), 0x74726976);
	ck_assert_uint_eq(get(4), 2);
	ck_assert_uint_eq(get(8), 2);
	ck_assert_uint_eq(get(0x10), (uint32_t)FEATURES);
	set(0x14, 1);
	ck_assert_uint_eq(get(0x10), FEATURES >> 32);
	set(0x14, 2);
	ck_assert_uint_eq(get(0x10), 0);
	set(0x14, UINT32_MAX);
	ck_assert_uint_eq(get(0x10), 0);
	ck_assert_uint_eq(get(0xb0), UINT32_MAX); /* no shared memory */
	ck_assert_uint_eq(get(0xb4), UINT32_MAX);
}
END_TEST

START_TEST(test_driver_that_does_it_right)
{
	fresh();
	bring_up();
	ck_assert_uint_eq(dev.starts, 1);
	ck_assert_uint_eq(get(0x70), 0xf);
	ck_assert_uint_eq(dev.v.queues[1].num, 128);
	ck_assert_uint_eq(dev.v.queues[1].desc, 0x100001000);
	ck_assert_uint_eq(dev.v.queues[1].avail, 0x200002000);
	ck_assert_uint_eq(dev.v.queues[1].used, 0x300003000);
	ck_assert_uint_eq(dev.v.accepted, FEATURES);
	set(0x50, 1);
	ck_assert_uint_eq(dev.notes, 1);
	ck_assert_uint_eq(dev.noted, 1);
	set(0x50, 2); /* no such queue */
	ck_assert_uint_eq(dev.notes, 1);
	set(0x70, 0xf); /* again */
	ck_assert_uint_eq(dev.starts, 1);
	set(0x70, 0);
	ck_assert_uint_eq(dev.stops, 1);
	ck_assert_uint_eq(get(0x70), 0);
	ck_assert_uint_eq(dev.v.queues[1].num, 0);
	set(0x30, 1);
	ck_assert_uint_eq(get(0x44), 0);
	set(0x50, 1);
	ck_assert_uint_eq(dev.notes, 1);
	bring_up();
	ck_assert_uint_eq(dev.starts, 2);
}
END_TEST

/* A queue's interrupt does not pass by here: it may always be one. */
START_TEST(test_interrupt_status)
{
	uint8_t config[VIRTIO_CONFIG_MAX] = { 9 };

	fresh();
	ck_assert_uint_eq(get(0x60), 0);
	virtio_mmio_configure(&dev.v, config);
	ck_assert_uint_eq(dev.interrupts, 0); /* nobody listens */
	ck_assert_uint_eq(get(0xfc), 1);
	bring_up();
	ck_assert_uint_eq(get(0x60), VIRTIO_IRQ_QUEUE);
	set(0x64, VIRTIO_IRQ_QUEUE);
	ck_assert_uint_eq(get(0x60), VIRTIO_IRQ_QUEUE);
	virtio_mmio_configure(&dev.v, config);
	ck_assert_uint_eq(dev.interrupts, 1);
	ck_assert_uint_eq(get(0xfc), 2);
	ck_assert_uint_eq(get(0x60), 3);
	set(0x64, VIRTIO_IRQ_QUEUE);
	ck_assert_uint_eq(get(0x60), 3);
	set(0x64, VIRTIO_IRQ_CONFIG);
	ck_assert_uint_eq(get(0x60), 1);
	ck_assert_uint_eq(get(0x100), 9);
}
END_TEST

START_TEST(test_features_that_are_not)
{
	fresh();
	accept_features(FEATURES | 1ull << 6); /* was not offered */
	ck_assert_uint_eq(get(0x70), 3);
	set(0x70, 0);
	accept_features(FEATURES & ~(1ull << VIRTIO_F_MODERN));
	ck_assert_uint_eq(get(0x70), 3);
	/* to go on regardless is of no use */
	set(0x70, 0xf);
	ck_assert_uint_eq(dev.starts, 0);
	ck_assert_uint_eq(get(0x70) & 0x48, VIRTIO_STATUS_NEEDS_RESET);
	/* and features that are agreed upon stay */
	set(0x70, 0);
	accept_features(FEATURES);
	set(0x24, 1);
	set(0x20, UINT32_MAX);
	ck_assert_uint_eq(dev.v.accepted, FEATURES);
}
END_TEST

START_TEST(test_running_queues_stay)
{
	fresh();
	set(0x30, 2); /* no such queue */
	ck_assert_uint_eq(get(0x34), 0);
	set(0x38, 128);
	set(0x44, 1);
	ck_assert_uint_eq(get(0x44), 0);
	bring_up();
	set(0x30, 1);
	set(0x38, 64);
	set(0x80, 0xdead000);
	set(0x44, 0);
	ck_assert_uint_eq(dev.v.queues[1].num, 128);
	ck_assert_uint_eq(dev.v.queues[1].desc, 0x100001000);
	ck_assert_uint_eq(get(0x44), 1);
}
END_TEST

START_TEST(test_device_that_cannot_start)
{
	fresh();
	dev.refuse = true;
	bring_up();
	ck_assert_uint_eq(dev.starts, 1);
	ck_assert_uint_eq(get(0x70), 0xf | VIRTIO_STATUS_NEEDS_RESET);
	ck_assert_uint_eq(dev.interrupts, 1);
	ck_assert_uint_eq(get(0x60), VIRTIO_IRQ_CONFIG);
	set(0x50, 0);
	ck_assert_uint_eq(dev.notes, 0);
	set(0x70, 0xf);
	ck_assert_uint_eq(dev.starts, 1);
}
END_TEST

START_TEST(test_device_that_breaks)
{
	fresh();
	virtio_mmio_broken(&dev.v); /* before there is a driver */
	ck_assert_uint_eq(get(0x70), 0);
	bring_up();
	virtio_mmio_broken(&dev.v);
	ck_assert_uint_eq(dev.stops, 1);
	ck_assert_uint_eq(get(0x70), 0xf | VIRTIO_STATUS_NEEDS_RESET);
	ck_assert_uint_eq(get(0x60), VIRTIO_IRQ_CONFIG);
	/* the bit is not the driver's to take away */
	set(0x70, 0xf);
	ck_assert_uint_eq(get(0x70), 0xf | VIRTIO_STATUS_NEEDS_RESET);
	set(0x70, 0);
	ck_assert_uint_eq(get(0x70), 0);
	ck_assert_uint_eq(get(0x60), 0);
}
END_TEST

START_TEST(test_odd_accesses)
{
	uint8_t b[8];

	fresh();
	virtio_mmio_read(&dev.v, 0, b, 1);
	ck_assert_uint_eq(b[0], 0);
	virtio_mmio_read(&dev.v, 2, b, 4);
	ck_assert_uint_eq(le32_get(b), 0);
	memset(b, 0xff, sizeof(b));
	virtio_mmio_read(&dev.v, 0, b, 8);
	ck_assert_uint_eq(le64_get(b), 0);
	le64_put(b, 0xf);
	virtio_mmio_write(&dev.v, 0x70, b, 8);
	virtio_mmio_write(&dev.v, 0x70, b, 1);
	ck_assert_uint_eq(get(0x70), 0);
	/* the configuration takes any width */
	virtio_mmio_read(&dev.v, 0x101, b, 1);
	ck_assert_uint_eq(b[0], 2);
	virtio_mmio_read(&dev.v, 0x100 + 52, b, 8);
	ck_assert_uint_eq(b[7], 60);
	memset(b, 0xff, sizeof(b));
	virtio_mmio_read(&dev.v, 0x100 + 53, b, 8);
	ck_assert_uint_eq(le64_get(b), 0);
	virtio_mmio_read(&dev.v, 0xfff, b, 1);
	ck_assert_uint_eq(b[0], 0);
	virtio_mmio_write(&dev.v, 0x100 + 59, b, 2);
	virtio_mmio_write(&dev.v, 0xfff, b, 1);
	ck_assert_uint_eq(dev.configs, 0);
	virtio_mmio_write(&dev.v, 0x100 + 32, b, 1);
	ck_assert_uint_eq(dev.configs, 1);
	ck_assert_uint_eq(dev.config_at, 32);
	ck_assert_uint_eq(dev.v.config[32], 33);
}
END_TEST

/* Anything, anywhere: the callbacks above check that they are called in
 * order. */
START_TEST(test_random_driver)
{
	static const uint32_t values[] = { 0,	 1,    2,   3,
					   7,	 0xb,  0xf, 0x40,
					   0x80, 0xff, 256, UINT32_MAX };
	unsigned int started = 0;

	srand(1);
	fresh();
	for (unsigned int i = 0; i < 300000; i++) {
		uint64_t at = (uint64_t)rand() % 0x180;
		uint8_t b[8];
		unsigned int len = 1u << rand() % 4;

		le64_put(b, values[(unsigned int)rand() % ARRAY_LEN(values)]);
		if (rand() % 4)
			at &= ~3ull, len = 4;
		if (rand() % 50 == 0)
			accept_features(FEATURES);
		dev.refuse = rand() % 3 == 0;
		if (rand() % 2)
			virtio_mmio_write(&dev.v, at, b, len);
		else
			virtio_mmio_read(&dev.v, at, b, len);
		ck_assert(dev.v.started == dev.running);
		if (rand() % 1000 == 0)
			virtio_mmio_broken(&dev.v);
		started += dev.running;
	}
	ck_assert_uint_gt(started, 100);
	virtio_mmio_reset(&dev.v);
	ck_assert_uint_eq(dev.running, 0);
}
END_TEST

/* ---- the option */

#define LONG36 "123456789012345678901234567890123456"

static const struct {
	const char *option, *path, *tag; /* path NULL: refused */
} options[] = {
	{ "blk:/a/b", "/a/b", "share" },
	{ "blk:a,b", "a,b", "share" },
	{ "fs:/x", "/x", "share" },
	{ "fs:/x,tag=t", "/x", "t" },
	{ "fs:/x:y,tag=" LONG36, "/x:y", LONG36 },
	{ "fs:/x,tag=" LONG36 "7", NULL, NULL },
	{ "fs:/x,tag=", NULL, NULL },
	{ "fs:,tag=t", NULL, NULL },
	{ "blk:/x,tag=t", NULL, NULL },
	{ "blk:", NULL, NULL },
	{ "blk", NULL, NULL },
	{ ":/x", NULL, NULL },
	{ "net:/x", NULL, NULL },
	{ "", NULL, NULL },
};

START_TEST(test_option)
{
	char longest[200] = "blk:";

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		struct virtio_spec s;
		const char *wrong = virtio_spec_parse(options[i].option, &s);

		ck_assert_msg(!wrong == !!options[i].path, "%s: %s",
			      options[i].option, wrong);
		if (wrong)
			continue;
		ck_assert_str_eq(s.path, options[i].path);
		ck_assert_str_eq(s.tag, options[i].tag);
	}
	for (size_t n = 1; n < 120; n++) {
		struct virtio_spec s;

		memset(longest + 4, 'x', n);
		ck_assert(!virtio_spec_parse(longest, &s) == (n <= 107));
	}
}
END_TEST

START_TEST(test_kinds)
{
	uint8_t config[VIRTIO_CONFIG_MAX] = { 0 };
	struct virtio_spec blk, fs;

	ck_assert_ptr_null(virtio_spec_parse("blk:/x", &blk));
	ck_assert_ptr_null(virtio_spec_parse("fs:/x,tag=name", &fs));
	/* packed rings, IOMMU, logging and the like are not for the driver */
	ck_assert_uint_eq(virtio_spec_features(&fs, UINT64_MAX),
			  1ull << 28 | 1ull << 29 | 1ull << 32);
	ck_assert_uint_eq(virtio_spec_features(&blk, UINT64_MAX) >> 30, 1 << 2);
	ck_assert_uint_eq(virtio_spec_features(&blk, 1ull << 32), 1ull << 32);
	/* as many queues as it has, and as there are processors */
	le16_put(config + 34, 5);
	ck_assert_uint_eq(virtio_spec_queues(&blk, 0, config, 8), 1);
	ck_assert_uint_eq(virtio_spec_queues(&blk, 1 << 12, config, 8), 5);
	ck_assert_uint_eq(virtio_spec_queues(&blk, 1 << 12, config, 2), 2);
	le16_put(config + 34, UINT16_MAX);
	ck_assert_uint_eq(virtio_spec_queues(&blk, 1 << 12, config, 256),
			  VIRTIO_QUEUES_MAX);
	le16_put(config + 34, 0);
	ck_assert_uint_eq(virtio_spec_queues(&blk, 1 << 12, config, 8), 1);
	virtio_spec_config(&blk, 3, config);
	ck_assert_uint_eq(le16_get(config + 34), 3);
	ck_assert(virtio_spec_writable(&blk, 1 << 11, 32, 1));
	ck_assert(!virtio_spec_writable(&blk, 0, 32, 1));
	ck_assert(!virtio_spec_writable(&blk, 1 << 11, 32, 2));
	ck_assert(!virtio_spec_writable(&blk, 1 << 11, 0, 1));
	memset(config, 0xff, sizeof(config));
	ck_assert_uint_eq(virtio_spec_queues(&fs, 0, config, 1), 2);
	virtio_spec_config(&fs, 2, config);
	ck_assert_str_eq((const char *)config, "name");
	ck_assert_uint_eq(config[35], 0);
	ck_assert_uint_eq(le32_get(config + 36), 1);
	ck_assert_uint_eq(config[40], 0xff);
	ck_assert(!virtio_spec_writable(&fs, UINT64_MAX, 32, 1));
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, test_identity);
	tcase_add_test(t, test_driver_that_does_it_right);
	tcase_add_test(t, test_interrupt_status);
	tcase_add_test(t, test_features_that_are_not);
	tcase_add_test(t, test_running_queues_stay);
	tcase_add_test(t, test_device_that_cannot_start);
	tcase_add_test(t, test_device_that_breaks);
	tcase_add_test(t, test_odd_accesses);
	tcase_add_test(t, test_random_driver);
	tcase_add_test(t, test_option);
	tcase_add_test(t, test_kinds);
}

int main(void)
{
	return run_suite("hvvm-virtio", fill);
}
